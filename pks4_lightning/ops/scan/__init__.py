"""The selective scan: a plain version, Triton kernels, mamba_ssm's, and who chooses."""
