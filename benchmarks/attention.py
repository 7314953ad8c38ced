"""Time of attention on this device: `python benchmarks/attention.py` (a minute).

Compares the towers' attention with PyTorch's fused operator and with an unfused implementation,
forward and backward, for the token and head counts of ViT-Tiny and ViT-B/16.
"""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from machine import arguments, clock_name, write_rows
from rich.console import Console
from rich.table import Table
from torch import Tensor

from pks4_lightning.ops.attention import attention

HEADS = {"ViT-Tiny": 3, "ViT-B/16": 12}
HEAD_DIM = 64


def main() -> None:
    parser = arguments("Time of the towers' attention, of the fused operator, and unfused.")
    parser.add_argument("--tokens", type=int, nargs="+", default=[37, 50, 197, 257])
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5, help="runs; the fastest is reported")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    table = Table("tower", "dtype", "tokens", "ours ms", "fused", "written out")
    rows = []
    for tower, heads in HEADS.items():
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            for tokens in options.tokens:
                shape = (options.images, tokens, heads, HEAD_DIM)
                draw = torch.Generator().manual_seed(0)
                q, k, v, dy = (
                    torch.randn(shape, generator=draw).to(device, dtype).transpose(1, 2)
                    for _ in range(4)
                )
                ours, fused, plain = (
                    best(attend, (q, k, v), dy, options.repeats, device)
                    for attend in (attention, F.scaled_dot_product_attention, written_out)
                )
                row = {"tower": tower, "dtype": str(dtype), "tokens": tokens, "ours_ms": ours}
                rows.append({**row, "fused_ms": fused, "written_out_ms": plain})
                numbers = (f"{ours:.2f}", f"{fused / ours:.2f} ×", f"{plain / ours:.2f} ×")
                table.add_row(tower, str(dtype)[6:], str(tokens), *numbers)
    Console().print(table)
    write_rows(options.json, rows)


def written_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Unfused attention: all weights in memory, softmax in float32."""
    scores = (q * q.shape[-1] ** -0.5) @ k.mT
    return scores.softmax(-1, dtype=torch.float32).to(q.dtype) @ v


def best(
    attend: Callable[..., Tensor],
    inputs: tuple[Tensor, ...],
    dy: Tensor,
    repeats: int,
    device: str,
) -> float:
    """Return the time of the fastest forward and backward pass, in ms."""
    clock = getattr(time, clock_name(device))
    leaves = [x.detach().requires_grad_() for x in inputs]
    times = []
    for _ in range(repeats + 1):
        start = clock()
        torch.autograd.grad(attend(*leaves), leaves, dy)
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(clock() - start)
    return min(times[1:]) * 1e3


if __name__ == "__main__":
    main()
