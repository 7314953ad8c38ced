"""Compile the Triton kernels for a GPU that need not be there: `python compile_kernels.py`."""

import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler import compile as compile_source

from pks4_lightning.ops.conv_kernels import conv_backward_kernel, conv_forward_kernel
from pks4_lightning.ops.scan_kernels import scan_backward_kernel, scan_forward_kernel

HOPPER = GPUTarget("cuda", 90, 32)
STREAM = ("*bf16", "i64", "i64", "i64")
STATES = ("*fp32", "i64", "i64", "i64")
COUNTS = {"first", "last", "num_sequences", "num_patches", "num_steps", "E", "ROW"}
SIZES = {"CHUNK": 2, "BLOCK_E": 32, "N": 16, "PIECE": 4, "TERMS": 7, "K": 4, "ACC": tl.float32}


def compile_kernel(kernel, *, even=False, absent=()):
    """Compile for bfloat16 streams; `absent` optional arguments are None."""
    flags = {"WHOLE_T": even, "WHOLE_E": even, "SOFTPLUS": "bias" not in absent}
    constants = {**SIZES, **flags, **dict.fromkeys(absent)}
    signature = {}
    for name in kernel.arg_names:
        if name in constants:
            signature[name] = "constexpr"
        elif name in {"u", "x", "delta", "gate", "y", "dy", "du", "dx", "ddelta", "dgate"}:
            signature[name] = STREAM
        elif name in {"B", "C"}:
            signature[name] = STATES
        elif name in COUNTS:
            signature[name] = "i32"
        else:
            signature[name] = "*fp32"
    constants = {name: value for name, value in constants.items() if name in kernel.arg_names}
    source = ASTSource(kernel, signature, constants)
    binary = compile_source(
        source, target=HOPPER, options={"num_warps": 1, "enable_fp_fusion": True}
    )
    assert ".target sm_90" in binary.asm["ptx"]


if __name__ == "__main__":
    compile_kernel(scan_forward_kernel, even=True, absent=["bias", "gate"])
    compile_kernel(scan_forward_kernel, even=False, absent=[])
    compile_kernel(scan_backward_kernel, even=True, absent=["bias", "gate", "dgate", "boundaries"])
    compile_kernel(scan_backward_kernel, even=False, absent=[])
    compile_kernel(conv_forward_kernel)
    compile_kernel(conv_backward_kernel)
