"""Cost of one more frame of a stream: `python benchmarks/stream.py` (minutes).

Compares, in one run, a step of the causal classifier at frame 10 and at frame 100 with the windows
that a classifier without a state would have to run for every prediction.
"""

import gc
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from machine import arguments, clock_name, write_rows
from rich.console import Console
from rich.table import Table
from torch.utils import _pytree as pytree

from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.classifier import PKS4Classifier, StreamState
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.towers.published import PUBLISHED

TINY = {
    "hidden_size": 96, "intermediate_size": 384, "projection_dim": 64, "num_hidden_layers": 4,
    "num_attention_heads": 3, "image_size": 112, "patch_size": 16,
}  # fmt: skip
MODELS = {
    "tiny": (TINY, 2),
    "B/16": (PUBLISHED["openai/clip-vit-base-patch16"], 8),
    "L/14": (PUBLISHED["openai/clip-vit-large-patch14"], 16),
}
WINDOWS = (8, 32)
EARLY, LATE = 10, 100


def main() -> None:
    parser = arguments("Milliseconds per new frame of a stream, compared with whole windows.")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=["tiny", "B/16"])
    parser.add_argument("--repeats", type=int, default=5, help="runs; the median is reported")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = [measure(model, device, options.repeats) for model in options.models]
    show(rows)
    write_rows(options.json, rows)


@torch.inference_mode()
def measure(model: str, device: str, repeats: int) -> dict[str, object]:
    fields, insert_after = MODELS[model]
    config = PKS4Config(
        num_classes=174, pretrained=False, backbone_config=dict(fields), causal=True,
        insert_after=insert_after,
    )  # fmt: skip
    with torch.device(device):
        classifier = build_classifier(config).eval()
        size = int(fields["image_size"])
        frame = torch.randn(1, 3, size, size)
        state = classifier.initial_state()
    row: dict[str, object] = {"model": model, "device": device, "clock": clock_name(device)}
    number = 0
    for at in (EARLY, LATE):
        state, number = advance(classifier, frame, state, number, at)
        row[f"frame_{at}_ms"] = median_ms(partial(classifier.step, frame, state), repeats, device)
    leaves = pytree.tree_leaves(state)
    row["state_values"] = sum(part.numel() for part in leaves)
    row["state_mb"] = round(sum(part.nbytes for part in leaves) / 1e6, 2)
    for length in WINDOWS:
        clip = frame.unsqueeze(2).expand(-1, -1, length, -1, -1).contiguous()
        row[f"window_{length}_ms"] = median_ms(partial(classifier, clip), repeats, device)
        gc.collect()
    return row


def advance(
    classifier: PKS4Classifier, frame: torch.Tensor, state: StreamState, number: int, until: int
) -> tuple[StreamState, int]:
    """Advance the stream to the given number of frames."""
    while number < until:
        _, state = classifier.step(frame, state)
        number += 1
    return state, number


def median_ms(run: Callable[[], object], repeats: int, device: str) -> float:
    clock = getattr(time, clock_name(device))
    run()
    taken = []
    for _ in range(repeats):
        start = clock()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(clock() - start)
    return round(1e3 * statistics.median(taken), 3)


def show(rows: list[dict[str, object]]) -> None:
    heads = ["model", f"frame {EARLY}", f"frame {LATE}", *(f"window of {n}" for n in WINDOWS)]
    table = Table(*heads, "state, MB", title="ms per answer; windows also as multiples of a step")
    for row in rows:
        late = float(str(row[f"frame_{LATE}_ms"]))
        windows = [float(str(row[f"window_{n}_ms"])) for n in WINDOWS]
        table.add_row(
            str(row["model"]), str(row[f"frame_{EARLY}_ms"]), str(late),
            *(f"{ms:.1f} ({ms / late:.1f}×)" for ms in windows), str(row["state_mb"]),
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
