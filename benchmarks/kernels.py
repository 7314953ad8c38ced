"""Lower bounds on the Triton kernels' time on a Hopper GPU, computed without a GPU (seconds).

`python benchmarks/kernels.py` compiles the kernels for compute capability 9.0 with the launch
parameters for bfloat16 tokens of ViT-B/16 and 8 frames, counts the instructions per sequence, and
divides by the throughput of an H200. The results are lower bounds and not measurements: a kernel
takes at least the largest time in its row.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import triton
from machine import arguments, write_rows
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pks4_lightning.ops.conv import triton as conv_triton
from pks4_lightning.ops.conv.kernels import conv_backward_kernel, conv_forward_kernel
from pks4_lightning.ops.scan import triton as scan_triton
from pks4_lightning.ops.scan.backward_kernel import LANES, scan_backward_kernel
from pks4_lightning.ops.scan.forward_kernel import scan_forward_kernel
from tests.helpers.compile_kernels import compile_kernel

# An H200: clock, multiprocessors, and warp instructions issued per clock and multiprocessor: of any
# kind, special functions (exponentials, reciprocals), and shuffles. Bandwidth: what a kernel can
# attain of the nominal 4.8 TB/s.
CLOCK = 1.755e9
MULTIPROCESSORS = 132
PER_CLOCK = {"all": 4.0, "MUFU": 0.5, "SHFL": 1.0}
BYTES_PER_S = 4.3e12

NUM_STEPS = 8
NUM_CHANNELS = 1536
D_STATE = 16
NUM_TAPS = 4
BFLOAT16, FLOAT32 = 2, 4


def main() -> None:
    parser = arguments("Registers, instructions and bounds of the Triton kernels on a Hopper GPU.")
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--patches", type=int, default=196)
    options = parser.parse_args()
    rows = [
        describe(*launch, num_sequences=options.clips * options.patches) for launch in launches()
    ]
    show(rows, options.clips * options.patches)
    write_rows(options.json, {"triton_cubin": triton.__version__, "kernels": rows})


def launches() -> list[tuple[str, Any, dict[str, Any], int, dict[str, Any], tuple[int, int]]]:
    """List for each kernel: name, kernel, sizes, channels per program, options, streams moved.

    Streams are counted separately by width: E channels, N states.
    """
    u = torch.empty(1, 1, NUM_STEPS, NUM_CHANNELS, dtype=torch.bfloat16, device="meta")
    A = torch.empty(NUM_CHANNELS, D_STATE, device="meta")
    taps = torch.empty(NUM_CHANNELS, 1, NUM_TAPS, device="meta")
    forward, backward = scan_triton._forward_sizes(u, A), scan_triton._backward_sizes(u, A)
    scan_options = scan_triton._OPTIONS
    conv = conv_triton._sizes(u, taps)
    conv_options = {"num_warps": conv.pop("num_warps")}
    block = conv["BLOCK_E"]
    # each block of channels writes partial sums of dB and dC, which are read again to be summed
    parts = 2 * 2 * NUM_CHANNELS // LANES
    return [
        ("scan, forward", scan_forward_kernel, forward, forward["BLOCK_E"], scan_options, (4, 2)),
        ("scan, backward", scan_backward_kernel, backward, LANES, scan_options, (7, 2 + parts)),
        ("convolution, forward", conv_forward_kernel, conv, block, conv_options, (2, 0)),
        ("convolution, backward", conv_backward_kernel, conv, block, conv_options, (3, 0)),
    ]


def describe(
    name: str,
    kernel: Any,
    sizes: dict[str, Any],
    num_channels: int,
    options: dict[str, Any],
    streams: tuple[int, int],
    *,
    num_sequences: int,
) -> dict[str, Any]:
    """Compile one kernel and compute lower bounds on the time of a launch."""
    absent = ["boundaries"] if "boundaries" in kernel.arg_names else []
    binary = compile_kernel(kernel, sizes, even=True, absent=absent, **options)
    registers, stack, instructions = _disassemble(binary.asm["cubin"])
    warps = num_sequences * NUM_CHANNELS // num_channels * options["num_warps"]
    counts = Counter(instruction.split(".")[0] for instruction in instructions)
    counts["all"] = len(instructions)
    times = {
        kind: warps * counts[kind] / (rate * MULTIPROCESSORS * CLOCK) * 1e3
        for kind, rate in PER_CLOCK.items()
    }
    tokens = num_sequences * NUM_STEPS
    of_channels = streams[0] * NUM_CHANNELS * BFLOAT16
    num_bytes = tokens * (of_channels + streams[1] * D_STATE * FLOAT32)
    return {
        "kernel": name,
        "sizes": {key: str(value) for key, value in sizes.items()},
        "registers": registers,
        "stack_bytes": stack,
        "instructions_per_warp_and_sequence": dict(counts.most_common()),
        "bound_ms": {**times, "bytes": num_bytes / BYTES_PER_S * 1e3},
    }


def _disassemble(cubin: bytes) -> tuple[int, int, list[str]]:
    """Return the registers, the stack in bytes, and the operations in the loop over sequences."""
    tools = Path(triton.__file__).parent / "backends/nvidia/bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage, code = (
            subprocess.run([tools / tool, flag, file.name], capture_output=True, text=True).stdout
            for tool, flag in (("cuobjdump", "-res-usage"), ("nvdisasm", "-c"))
        )
    resources = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert resources is not None
    operations: list[str] = []
    labels: dict[str, int] = {}
    loops: list[tuple[int, int]] = []
    for line in code.splitlines():
        if label := re.match(r"\s*\.(L_x_\d+):", line):
            labels[label[1]] = len(operations)
        elif instruction := re.search(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?(\S+)(.*);", line):
            operations.append(instruction[1])
            target = re.search(r"\.(L_x_\d+)", instruction[2])
            if instruction[1].startswith("BRA") and target and target[1] in labels:
                loops.append((labels[target[1]], len(operations)))
    # the loop over sequences is the longest; in it, one chunk holds all steps
    start, end = max(loops, key=lambda loop: loop[1] - loop[0])
    return int(resources[1]), int(resources[2]), operations[start:end]


def show(rows: list[dict[str, Any]], num_sequences: int) -> None:
    """Print one line per kernel, and the sum of forward and backward."""
    heads = ["kernel", "registers", "stack", "instructions", "special functions", "shuffles"]
    table = Table(
        *heads,
        "bytes",
        title=f"At least, in ms, for {num_sequences} sequences of {NUM_STEPS} frames on an H200",
    )
    for row in rows:
        bounds = row["bound_ms"].values()
        table.add_row(
            row["kernel"],
            str(row["registers"]),
            str(row["stack_bytes"]),
            *(f"{milliseconds:.2f}" for milliseconds in bounds),
        )
    console = Console()
    console.print(table)
    for name in ("scan", "convolution"):
        passes = [row["bound_ms"] for row in rows if row["kernel"].startswith(name)]
        longest = sum(max(bounds.values()) for bounds in passes)
        console.print(f"{name}, forward + backward: at least {longest:.2f} ms. Not measured.")


if __name__ == "__main__":
    main()
