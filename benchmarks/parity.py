"""Compare every available scan with a float64 loop: `python benchmarks/parity.py` (a minute).

Checks the output and all gradients at the lengths and precisions used in training, and at a width
that does not fill a block of channels. Exits with status 1 if an error exceeds the tolerance of its
precision. This checks on a GPU what the tests check with Triton's interpreter on a CPU.
"""

import functools
import sys
from typing import Any

import torch
from machine import arguments, write_rows
from rich.console import Console
from rich.table import Table
from torch import Tensor

from pks4_lightning.ops.backend import scan_backend
from pks4_lightning.ops.scan.naive import selective_scan_naive
from pks4_lightning.ops.scan.selective_scan import selective_scan

NAMES = ["u", "delta", "A", "B", "C", "D", "delta_bias", "gate"]
# for the largest error of output and gradients: every stream is rounded once, and it propagates
ALLOWED = {torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 2**-10}


def main() -> int:
    parser = arguments("Relative errors of the scans' outputs and gradients.")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 7, 8, 16, 32, 64, 128])
    parser.add_argument("--channels", type=int, nargs="+", default=[64, 1536, 33])
    parser.add_argument("--sequences", type=int, default=6)
    parser.add_argument("--states", type=int, default=16)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    table = Table("scan", "dtype", "E", *(f"T = {steps}" for steps in options.steps))
    rows: list[dict[str, Any]] = []
    for backend in _available(device):
        for dtype in ALLOWED:
            for channels in options.channels:
                shapes = [
                    (options.sequences, steps, channels, options.states) for steps in options.steps
                ]
                errors = [scan_error(backend, shape, dtype, device) for shape in shapes]
                table.add_row(
                    backend, str(dtype)[6:], str(channels), *(f"{error:.1e}" for error in errors)
                )
                rows += [
                    {"scan": backend, "dtype": str(dtype), "shape": shape, "error": error}
                    for shape, error in zip(shapes, errors, strict=True)
                ]
    console = Console()
    console.print(table)
    write_rows(options.json, rows)
    wrong = [row for row in rows if not row["error"] < ALLOWED[getattr(torch, row["dtype"][6:])]]
    for row in wrong:
        console.print(f"Too far from the loop: {row}")
    return int(bool(wrong))


def _available(device: torch.device) -> list[str]:
    names = []
    for backend in ("torch", "triton", "mamba_ssm"):
        try:
            names.append(scan_backend(device, backend))
        except ValueError as reason:
            print(reason, file=sys.stderr)
    return names


def scan_error(
    backend: str, shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device
) -> float:
    """Return the largest relative error of output and gradients."""
    inputs = _inputs(shape, dtype, device)
    exact = {name: x.double() for name, x in inputs.items()}
    expected = _results(selective_scan_naive, exact)
    scan = functools.partial(selective_scan, backend=backend)
    got = _results(lambda **tensors: scan(**tensors).double(), inputs)
    errors = [
        ((a.double() - b).norm() / b.norm().clamp(min=1e-30)).item()
        for a, b in zip(got, expected, strict=True)
    ]
    return max(errors)


def _inputs(
    shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device
) -> dict[str, Tensor]:
    num_sequences, num_steps, num_channels, num_states = shape
    draw = torch.Generator().manual_seed(0)
    wide, narrow = (num_sequences, num_steps, num_channels), (num_sequences, num_steps, num_states)
    sizes = [wide, wide, (num_channels, num_states), narrow, narrow, *[(num_channels,)] * 2, wide]
    tensors = {
        name: torch.randn(size, generator=draw) for name, size in zip(NAMES, sizes, strict=True)
    }
    tensors["A"] = -tensors["A"].exp()
    tensors["delta_bias"] -= 3  # as in a newly initialised scanner
    return {
        name: x.to(device, dtype if x.ndim == 3 else torch.float32) for name, x in tensors.items()
    }


def _results(scan: Any, inputs: dict[str, Tensor]) -> list[Tensor]:
    leaves = {name: x.clone().requires_grad_() for name, x in inputs.items()}
    y = scan(**leaves)
    cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    return [y, *torch.autograd.grad(y, list(leaves.values()), cotangent)]


if __name__ == "__main__":
    sys.exit(main())
