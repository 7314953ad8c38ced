"""The selective scan: plain PyTorch, Triton kernels, mamba_ssm, and the choice between them."""
