"""The causal convolution along time, plain and in Triton."""
