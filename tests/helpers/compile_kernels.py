"""Compile the Triton kernels for a GPU that need not be there: `python compile_kernels.py`."""

import torch
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler import compile as compile_source

from pks4_lightning.ops.conv.kernels import conv_backward_kernel, conv_forward_kernel
from pks4_lightning.ops.scan import triton as scan_triton
from pks4_lightning.ops.scan.kernels import scan_backward_kernel, scan_forward_kernel

HOPPER = GPUTarget("cuda", 90, 32)
STREAMS = {"u", "x", "delta", "gate", "y", "dy", "du", "dx", "ddelta", "dgate"}
COUNTS = {"first", "last", "num_sequences", "num_patches", "num_steps", "E", "ROW"}
SIZES = {"CHUNK": 2, "BLOCK_E": 32, "N": 16, "PIECE": 4, "TERMS": 7, "K": 4, "ACC": tl.float32}
OPTIONAL = {
    scan_forward_kernel: ["bias", "gate"],
    scan_backward_kernel: ["bias", "gate", "dgate", "boundaries"],
}


def compile_kernel(kernel, sizes=None, *, even=False, absent=(), num_warps=1):
    """Compile for bfloat16 streams, 16-byte aligned; `absent` optional arguments are None."""
    flags = {"WHOLE_T": even, "WHOLE_E": even, "SOFTPLUS": "bias" not in absent}
    constants = {**SIZES, **flags, **(sizes or {}), **dict.fromkeys(absent)}
    signature, aligned = {}, {}
    for index, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name] = "constexpr"
        elif name in STREAMS | {"B", "C"}:
            pointer = "*bf16" if name in STREAMS else "*fp32"
            signature[name] = (pointer, "i64", "i64", "i64")
            aligned |= {(index, part): [["tt.divisibility", 16]] for part in range(4)}
        elif name in COUNTS:
            signature[name] = "i32"
        else:
            signature[name] = "*fp32"
            aligned[(index,)] = [["tt.divisibility", 16]]
    constants = {name: value for name, value in constants.items() if name in kernel.arg_names}
    source = ASTSource(kernel, signature, constants, aligned)
    options = {"num_warps": num_warps, "enable_fp_fusion": True}
    binary = compile_source(source, target=HOPPER, options=options)
    assert ".target sm_90" in binary.asm["ptx"]
    return binary


def launched_sizes(choice, num_steps=8):
    """The sizes of a launch at the width of ViT-B/16."""
    u = torch.empty(1, 1, num_steps, 1536, dtype=torch.bfloat16, device="meta")
    return scan_triton._sizes(u, torch.empty(1536, 16, device="meta"), **choice)


def check_that_threads_share_states_as_meant():
    """Count the exchanges between threads that sums need: whose they are depends on the layout."""
    forward, backward = (
        compile_kernel(kernel, launched_sizes(choice), even=True, absent=absent).asm["ptx"]
        for kernel, choice, absent in (
            (scan_forward_kernel, scan_triton._FORWARD, []),
            (scan_backward_kernel, scan_triton._BACKWARD, ["boundaries"]),
        )
    )
    # 32 threads side by side hold all states of their channels
    assert forward.count("shfl.sync") == 0
    # 8 by 4 threads of 4 channels by 4 states: each step sums two times 4 numbers over 8 threads,
    # three times 4 over 4
    assert backward.count("shfl.sync") == 8 * (2 * 4 * 3 + 3 * 4 * 2)


if __name__ == "__main__":
    for kernel in (scan_forward_kernel, scan_backward_kernel):
        compile_kernel(kernel, even=True, absent=OPTIONAL[kernel])
        compile_kernel(kernel)
    compile_kernel(conv_forward_kernel)
    compile_kernel(conv_backward_kernel)
    check_that_threads_share_states_as_meant()
