"""Time of the scanner's convolution and SiLU: `python benchmarks/convolution.py` (a minute).

Compares forward and forward + backward with torch's own operators, eager and compiled, and with
the time needed to move the bytes that must be moved.
"""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from machine import arguments, write_rows
from rich.console import Console
from rich.table import Table
from scan import memory_bandwidth
from torch import Tensor

from pks4_lightning.ops.conv.causal_conv import causal_conv_silu


def main() -> None:
    parser = arguments("Time of the causal convolution with SiLU.")
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--patches", type=int, default=196)
    parser.add_argument("--steps", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--channels", type=int, default=1536)
    parser.add_argument("--repeats", type=int, default=20, help="runs; the fastest is reported")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    bandwidth = memory_bandwidth()
    table = Table("T", "convolution", "forward ms", "forward + backward ms", "floor ms")
    rows = []
    for steps in options.steps:
        tokens = torch.randn(
            options.clips, steps, options.patches, options.channels, device=device, dtype=dtype
        )
        x = tokens.transpose(1, 2).requires_grad_()
        weight = torch.randn(options.channels, 1, 4, device=device, requires_grad=True)
        bias = torch.zeros(options.channels, device=device, requires_grad=True)
        # x, y; then dy, x, dx
        floor = 5 * tokens.nbytes / bandwidth * 1e3
        for name, convolve in (
            ("ours", causal_conv_silu),
            ("torch", by_torch),
            ("torch, compiled", torch.compile(by_torch, dynamic=False)),
        ):
            forward, both = times(convolve, (x, weight, bias), options.repeats)
            rows.append({"T": steps, "convolution": name, "forward_ms": forward})
            rows[-1] |= {"forward_backward_ms": both, "floor_ms": floor}
            numbers = (f"{number:.2f}" for number in (forward, both, floor))
            table.add_row(str(steps), name, *numbers)
    Console().print(table)
    write_rows(options.json, rows)


def by_torch(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve along the second-to-last axis with a grouped convolution."""
    taps = weight.shape[-1]
    flat = x.flatten(0, 1).mT
    y = F.conv1d(flat, weight.to(x), bias.to(x), padding=taps - 1, groups=len(weight))
    return F.silu(y[..., : flat.shape[-1]]).mT.unflatten(0, x.shape[:2])


def times(
    convolve: Callable[..., Tensor], inputs: tuple[Tensor, ...], repeats: int
) -> tuple[float, float]:
    """Return the time of the fastest run in ms: forward, and forward + backward."""
    measured = []
    dy = torch.ones_like(inputs[0])
    for _ in range(repeats + 1):
        start = _now()
        y = convolve(*inputs)
        middle = _now()
        torch.autograd.grad(y, inputs, dy)
        measured.append((middle - start, _now() - start))
    forward, both = (min(column) * 1e3 for column in zip(*measured[1:], strict=True))
    return forward, both


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    main()
