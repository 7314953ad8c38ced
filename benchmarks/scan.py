"""Compare selective scans: `python benchmarks/scan.py` (half an hour; less with `--steps 8`).

Every implementation runs in its own process, so that peak memory is measured separately. Before it
is timed, its output and all gradients are compared with a float64 loop. Each gets its inputs in the
memory layout that suits it. `compiled` is the unrolled loop under `torch.compile`, an alternative
implementation of our scan rather than a competing library.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from machine import arguments, clock_name, write_rows
from rich.console import Console
from rich.table import Table
from torch import Tensor

from pks4_lightning.cores import num_cores
from pks4_lightning.ops.scan.naive import selective_scan_naive
from pks4_lightning.ops.scan.selective_scan import selective_scan

# number of S x T x E x N tensors that an implementation saves for its backward pass, to skip what
# does not fit into memory; ours save none
MATERIALISED = {"transformers": 6, "mambapy": 6, "naive": 6, "compiled": 2}

# compile time grows with the unrolled steps: minutes beyond this
MOST_COMPILED_STEPS = 16


def main() -> None:
    parser = arguments("Compare time and peak memory of selective scans.")
    parser.add_argument(
        "--sequences", type=int, default=1568, help="clips × patches; 6272 is batch 32 at B/16"
    )
    parser.add_argument("--steps", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--channels", type=int, default=1536)
    parser.add_argument("--states", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3, help="runs; the fastest is reported")
    parser.add_argument("--threads", type=int, default=num_cores())
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--implementations", nargs="+", default=_available())
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.worker:
        print(json.dumps(measure(**json.loads(options.worker))))
        return

    num_sequences = options.sequences
    bandwidth = memory_bandwidth()
    rows = []
    for num_steps in options.steps:
        shape = (num_sequences, num_steps, options.channels, options.states)
        for name in options.implementations:
            row = _in_a_process(name, shape, options)
            row["floor_ms"] = floor_bytes(shape, options.dtype) / bandwidth * 1e3
            rows.append(row)
            _say(f"{name}, T = {num_steps}: {row.get('forward_backward_ms') or row['skipped']}")
    exponent = _exponent(options)
    summary = _summarise(rows, exponent, bandwidth)
    _show(rows, summary)
    write_rows(options.json, {"measurements": rows, "summary": summary})


def _available() -> list[str]:
    """Return the names of the implementations available here, ours first."""
    names = ["ours", "compiled", "transformers", "naive"]
    if find_spec("mambapy"):
        names.append("mambapy")
    if torch.cuda.is_available():
        names += ["triton"] * bool(find_spec("triton"))
        names += ["mamba_ssm"] * bool(find_spec("mamba_ssm"))
    return names


def _implementation(name: str) -> Callable[..., Tensor]:
    """Return a scan of u, delta, A, B, C, D, streams shaped (S, T, channels) as in the ViT."""
    if name == "transformers":
        from transformers.models.mamba.modeling_mamba import mamba_selective_scan

        return lambda u, delta, A, B, C, D: (
            mamba_selective_scan(u.mT, delta.mT, A, B.mT, C.mT, D).mT
        )
    if name == "mambapy":
        from mambapy.mamba import MambaBlock

        return lambda *inputs: MambaBlock.selective_scan(None, *inputs)
    if name == "naive":
        return naive_scan
    if name == "compiled":
        torch._inductor.config.force_disable_caches = True  # first calls are reported, too
        return torch.compile(unrolled_scan, dynamic=False)
    backend = "torch" if name == "ours" else name
    return lambda *inputs: selective_scan(*inputs, backend=backend)


def naive_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """Materialise the decays and inputs of all frames, then loop over time."""
    decay_STEN = torch.exp(delta.unsqueeze(-1) * A)
    write_STEN = (delta * u).unsqueeze(-1) * B.unsqueeze(2)
    x_SEN = torch.zeros_like(write_STEN[:, 0])
    y = []
    for decay, write, read_SN in zip(
        decay_STEN.unbind(1), write_STEN.unbind(1), C.unbind(1), strict=True
    ):
        x_SEN = decay * x_SEN + write
        y.append((x_SEN @ read_SN.unsqueeze(-1)).squeeze(-1))
    return torch.stack(y, dim=1) + D * u


def unrolled_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """Unrolled loop that materialises nothing, for a compiler to fuse."""
    x_SEN = u.new_zeros(u.shape[0], *A.shape)
    y = []
    for t in range(u.shape[1]):
        decay_SEN = torch.exp(delta[:, t, :, None] * A)
        x_SEN = decay_SEN * x_SEN + (delta[:, t] * u[:, t])[..., None] * B[:, t, None]
        y.append((x_SEN * C[:, t, None]).sum(-1) + D * u[:, t])
    return torch.stack(y, dim=1)


def measure(name: str, shape: list[int], dtype: str, repeats: int) -> dict[str, Any]:
    """Check one implementation, then measure its time and memory. Runs in the child process."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scan = _implementation(name)
    check(scan, shape, device)
    inputs = _inputs(shape, getattr(torch, dtype), device, like=name)
    y_grad = torch.ones_like(inputs[0])
    leaves = [x.requires_grad_() for x in inputs]

    def forward() -> None:
        with torch.no_grad():
            scan(*leaves)

    def forward_backward() -> None:
        torch.autograd.grad(scan(*leaves), leaves, y_grad)

    before = _memory(device)
    forward_ms, first_forward_ms = _best(forward, repeats, device)
    forward_mb = (_peak(device) - before) / 2**20
    forward_backward_ms, first_ms = _best(forward_backward, repeats, device)
    return {
        "threads": torch.get_num_threads(),
        "clock": clock_name(device),
        "first_calls_ms": first_forward_ms + first_ms,
        "forward_ms": forward_ms,
        "forward_backward_ms": forward_backward_ms,
        "forward_mib": forward_mb,
        "forward_backward_mib": (_peak(device) - before) / 2**20,
    }


def check(scan: Callable[..., Tensor], shape: list[int], device: str) -> None:
    """Compare with the float64 loop on a few sequences and channels."""
    few = [2, shape[1], 32, shape[3]]
    inputs = _inputs(few, torch.float32, "cpu")
    exact = [x.double().requires_grad_() for x in inputs]
    ours = [x.to(device).requires_grad_() for x in inputs]
    y_exact, y = selective_scan_naive(*exact), scan(*ours)
    cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    expected = [y_exact, *torch.autograd.grad(y_exact, exact, cotangent.double())]
    got = [y, *torch.autograd.grad(y, ours, cotangent.to(device))]
    for what, a, b in zip(["y", "u", "delta", "A", "B", "C", "D"], got, expected, strict=True):
        error = (a.cpu().double() - b).norm() / b.norm()
        if not error < 1e-5:
            raise ValueError(f"The relative error of {what} is {error:.1e}: this scan is wrong.")


def _inputs(
    shape: list[int], dtype: torch.dtype, device: str, *, like: str = "ours"
) -> list[Tensor]:
    """Draw the same inputs for every implementation, in the memory layout that suits ``like``."""
    num_sequences, num_steps, num_channels, num_states = shape
    draw = {"generator": torch.Generator().manual_seed(0)}

    def stream(width: int) -> Tensor:
        x = torch.randn(num_sequences, num_steps, width, **draw).to(device, dtype)
        if like in {"transformers", "mamba_ssm"}:
            return x.mT.contiguous().mT  # channels before time
        if like in {"ours", "triton"}:
            return x.transpose(0, 1).contiguous().transpose(0, 1)  # the layout of a ViT's tokens
        return x

    u, B, C = stream(num_channels), stream(num_states), stream(num_states)
    delta = (stream(num_channels) - 3).exp_()
    A = -torch.arange(1.0, num_states + 1).repeat(num_channels, 1).to(device)
    return [u, delta, A, B, C, torch.ones(num_channels, device=device)]


def _best(run: Callable[[], None], repeats: int, device: str) -> tuple[float, float]:
    """Return the time of the fastest run and of the first run (the warm-up), in ms."""
    clock = getattr(time, clock_name(device))
    times = []
    for _ in range(repeats + 1):
        start = clock()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(clock() - start)
    return min(times[1:]) * 1e3, times[0] * 1e3


def _memory(device: str) -> int:
    """Return the bytes in use, and reset the peak."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return _resident("VmRSS")


def _peak(device: str) -> int:
    """Return the peak memory in bytes: of the allocator on a GPU, else of the whole process."""
    return torch.cuda.max_memory_allocated() if device == "cuda" else _resident("VmHWM")


def _resident(field: str) -> int:
    """Read a field of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(f"/proc/self/status has no {field}: the benchmark needs Linux or a GPU.")


def _in_a_process(name: str, shape: tuple[int, ...], options: argparse.Namespace) -> dict[str, Any]:
    row: dict[str, Any] = {"implementation": name, "T": shape[1], "shape": list(shape)}
    if name == "compiled" and shape[1] > MOST_COMPILED_STEPS:
        return {**row, "skipped": f"not compiled for more than {MOST_COMPILED_STEPS} steps"}
    needed = MATERIALISED.get(name, 0) * math.prod(shape) * 4
    if needed > 0.9 * _memory_available():
        return {**row, "skipped": f"would need about {needed / 2**30:.0f} GiB"}
    job = {"name": name, "shape": shape, "dtype": options.dtype, "repeats": options.repeats}
    done = subprocess.run(
        [sys.executable, __file__, "--threads", str(options.threads), "--worker", json.dumps(job)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return {**row, "skipped": f"stopped with exit code {done.returncode}"}
    return {**row, **json.loads(done.stdout.splitlines()[-1])}


def _memory_available() -> int:
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def memory_bandwidth() -> float:
    """Return the bytes per second of a copy too large for any cache."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    source = torch.ones(2**27 if device == "cuda" else 2**26, device=device)
    target = torch.empty_like(source)
    milliseconds, _ = _best(lambda: target.copy_(source), 5, device)
    return 2 * source.nbytes / milliseconds * 1e3


def floor_bytes(shape: tuple[int, ...], dtype: str) -> int:
    """Count the bytes that forward and backward must read and write at least."""
    num_sequences, num_steps, num_channels, num_states = shape
    stream = num_sequences * num_steps * num_channels
    matrices = num_sequences * num_steps * num_states
    # u, delta, y; then dy, u, delta, du, ddelta. B, C; then B, C, dB, dC
    return (8 * stream + 6 * matrices) * getattr(torch, dtype).itemsize


def _exponent(options: argparse.Namespace) -> float | None:
    """Fit time ~ T^k to our scan, on few sequences from T = 8 to 128."""
    points = []
    for num_steps in (8, 16, 32, 64, 128):
        row = _in_a_process("ours", (98, num_steps, options.channels, options.states), options)
        if "skipped" in row:
            return None
        points.append((math.log(num_steps), math.log(row["forward_backward_ms"])))
    x, y = (torch.tensor(values) for values in zip(*points, strict=True))
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return round(slope.item(), 3)


def _summarise(
    rows: list[dict[str, Any]], exponent: float | None, bandwidth: float
) -> dict[str, Any]:
    """Compare our scan with the best of the others at every length."""
    summary: dict[str, Any] = {"exponent": exponent, "bandwidth_gb_s": round(bandwidth / 1e9, 1)}
    for num_steps in sorted({row["T"] for row in rows}):
        measured = {
            row["implementation"]: row
            for row in rows
            if row["T"] == num_steps and "skipped" not in row
        }
        ours = measured.pop("triton", None) or measured.pop("ours", None)
        peers = [row for name, row in measured.items() if name not in {"ours", "compiled"}]
        compiled = [row for name, row in measured.items() if name == "compiled"]
        for name, others in (("the best of the others", peers), ("the compiled loop", compiled)):
            if ours and others:
                summary[f"T={num_steps}, {name}"] = {
                    key: round(min(row[key] for row in others) / ours[key], 2)
                    for key in ("forward_ms", "forward_backward_ms", "forward_backward_mib")
                }
    return summary


def _show(rows: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    heads = ["T", "scan", "forward ms", "forward + backward ms", "x floor", "peak MiB"]
    table = Table(*heads, "first calls s")
    for row in rows:
        if "skipped" in row:
            table.add_row(str(row["T"]), row["implementation"], "-", row["skipped"], *"---")
            continue
        table.add_row(
            str(row["T"]),
            row["implementation"],
            f"{row['forward_ms']:.1f}",
            f"{row['forward_backward_ms']:.1f}",
            f"{row['forward_backward_ms'] / row['floor_ms']:.1f}",
            f"{row['forward_backward_mib']:.0f}",
            f"{row['first_calls_ms'] / 1e3:.1f}",
        )
    console = Console()
    console.print(table)
    console.print("Peak: beyond the inputs, gradients included. Floor: bytes that must move, at")
    console.print(f"{summary['bandwidth_gb_s']} GB/s as measured.")
    for key, ratios in summary.items():
        if key.startswith("T="):
            forward, both, memory = ratios.values()
            console.print(
                f"{key}: takes {forward} times our forward time, {both} times "
                f"our forward + backward time, {memory} times our memory."
            )
    console.print(f"time ~ T^{summary['exponent']} from T = 8 to 128")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
