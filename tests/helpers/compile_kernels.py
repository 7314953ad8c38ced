"""Compile the Triton kernels for a Hopper GPU, without one: `python compile_kernels.py`."""

import torch
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler import compile as compile_source

from pks4_lightning.ops.conv.kernels import conv_backward_kernel, conv_forward_kernel
from pks4_lightning.ops.scan import triton as scan_triton
from pks4_lightning.ops.scan.backward_kernel import scan_backward_kernel
from pks4_lightning.ops.scan.forward_kernel import scan_forward_kernel

HOPPER = GPUTarget("cuda", 90, 32)
STREAMS = {"u", "x", "delta", "gate", "y", "dy", "du", "dx", "ddelta", "dgate"}
COUNTS = {"first", "last", "num_sequences", "num_patches", "num_steps", "E", "ROW"}
# strides of time in streams of E and N channels, for the 14 x 14 patches of ViT-B/16; the gate is
# half of a projection
OF_E, OF_N = 196 * 1536, 196 * 16
STEPS = {
    scan_forward_kernel: (OF_E, OF_E, OF_N, OF_N, 2 * OF_E, OF_E),
    scan_backward_kernel: (OF_E, OF_E, OF_E, OF_N, OF_N, 2 * OF_E, OF_E, OF_E, OF_E),
    conv_forward_kernel: (2 * OF_E, OF_E),
    conv_backward_kernel: (OF_E, 2 * OF_E, OF_E),
}
SIZES = {"PATCHES": 196, "CHUNK": 2, "TERMS": 7, "ACC": tl.float32}
SIZES |= {"BLOCK_E": 32, "N": 16, "PIECE": 4, "ONE_CHUNK": False, "NR": 2, "NV": 4, "K": 4}
OPTIONAL = {
    scan_forward_kernel: ["bias", "gate"],
    scan_backward_kernel: ["bias", "gate", "dgate", "boundaries"],
}


def compile_kernel(kernel, sizes=None, *, even=False, absent=(), **options):
    """Compile for 16-byte aligned bfloat16 streams; the arguments in `absent` are None."""
    flags = {"WHOLE_T": even, "WHOLE_E": even, "SOFTPLUS": "bias" not in absent}
    constants = {"STEPS": STEPS[kernel], **SIZES, **flags, **(sizes or {}), **dict.fromkeys(absent)}
    wide = "*fp64" if constants["ACC"] == tl.float64 else "*fp32"
    signature, aligned = {}, {}
    for index, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name] = "constexpr"
        elif name in STREAMS | {"B", "C"}:
            pointer = "*bf16" if name in STREAMS else wide
            signature[name] = (pointer, "i32", "i32")
            aligned |= {(index, part): [["tt.divisibility", 16]] for part in range(3)}
        elif name in COUNTS:
            signature[name] = "i32"
        else:
            signature[name] = wide
            aligned[(index,)] = [["tt.divisibility", 16]]
    constants = {name: value for name, value in constants.items() if name in kernel.arg_names}
    source = ASTSource(kernel, signature, constants, aligned)
    binary = compile_source(source, target=HOPPER, options=options or scan_triton._OPTIONS)
    assert ".target sm_90" in binary.asm["ptx"]
    return binary


def launched_sizes(choose, num_steps=8):
    """Return the sizes of a launch at the width of ViT-B/16."""
    u = torch.empty(1, 1, num_steps, 1536, dtype=torch.bfloat16, device="meta")
    return choose(u, torch.empty(1536, 16, device="meta"))


def check_that_threads_share_states_as_meant():
    """Count the exchanges between threads, which depend on the layout of tensors."""
    forward, backward = (
        compile_kernel(kernel, launched_sizes(choose), even=True, absent=absent).asm["ptx"]
        for kernel, choose, absent in (
            (scan_forward_kernel, scan_triton._forward_sizes, []),
            (scan_backward_kernel, scan_triton._backward_sizes, ["boundaries"]),
        )
    )
    # the 32 threads of a warp hold all states of their channels; the first step sums B times C
    assert forward.count("shfl.sync") == 4
    # Two neighbouring threads share two channels. Each step exchanges their two inputs, twice, and
    # their output gradients, and sums over the states twice. A step with a previous state also
    # exchanges the step sizes, in two shuffles and in one, and sums a third time.
    assert backward.count("shfl.sync") == 8 * (2 + 2 + 2 + 1 + 1) + 7 * (2 + 1 + 1)
    # the sums that a step computes as a product with ones pass through shared memory once
    assert backward.count("bar.sync") == 2 * 8


if __name__ == "__main__":
    double = {"ACC": tl.float64, "TERMS": 17}
    for kernel in (scan_forward_kernel, scan_backward_kernel):
        compile_kernel(kernel)
        compile_kernel(kernel, double, even=True, absent=OPTIONAL[kernel])
    compile_kernel(conv_forward_kernel)
    compile_kernel(conv_backward_kernel)
    check_that_threads_share_states_as_meant()
