"""Cost that PKS^4 adds to the CLIP tower: `python benchmarks/block.py` (minutes; batch 1 on a CPU).

Both classifiers have the same class route and random weights. On a GPU:
`python benchmarks/block.py --models B/16 --frames 8 --batch 32 --step`, and
`--models L/14 --batch 16`; with `--compile`, with `--checkpointing`.
"""

import argparse
import gc
import time
from collections.abc import Callable
from typing import Any

import torch
from machine import arguments, clock_name, write_rows
from rich.console import Console
from rich.table import Table
from torch import nn

from pks4_lightning.cost.traffic import count_traffic
from pks4_lightning.insertion import ClipLayout
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.classifier import PKS4Classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.towers.published import PUBLISHED
from pks4_lightning.ops.backend import scan_backend

# insertion point: the paper's for B/16, the same relative depth for L/14
MODELS = {
    "B/16": (PUBLISHED["openai/clip-vit-base-patch16"], 8),
    "L/14": (PUBLISHED["openai/clip-vit-large-patch14"], 16),
}


def main() -> None:
    parser = arguments("Time and memory of PKS4 as a share of the plain CLIP tower's.")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=["B/16"])
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--batch", type=int, default=1, help="clips")
    parser.add_argument("--repeats", type=int, default=2, help="runs; the fastest is reported")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--full", action="store_true", help="32 frames on a CPU too (20 GB or more)"
    )
    parser.add_argument("--step", action="store_true", help="count AdamW's step as well")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--checkpointing", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = [
        measure(model, num_frames, device, options)
        for model in options.models
        for num_frames in options.frames
        if device == "cuda" or options.full or num_frames <= 8
    ]
    show(rows)
    write_rows(options.json, rows)


def measure(
    model: str, num_frames: int, device: str, options: argparse.Namespace
) -> dict[str, Any]:
    """Time the classifier with and without PKS^4, and PKS^4 alone."""
    torch.manual_seed(0)
    backbone, insert_after = MODELS[model]
    size = backbone["image_size"]
    video = torch.randn(options.batch, 3, num_frames, size, size, device=device)
    row: dict[str, Any] = {
        "model": model,
        "frames": num_frames,
        "batch": options.batch,
        "device": device,
        "threads": options.threads,
        "precision": "bfloat16" if device == "cuda" else "float32",
        "counts": "forward + backward" + " + AdamW" * options.step,
        "compile": options.compile,
        "checkpointing": options.checkpointing,
        "clock": clock_name(device),
        "scan": scan_backend(video.device),
    }
    builders = {
        "plain": {"use_scanner": False, "use_correlation": False, "use_variation": False},
        "pks4": {},
    }
    for name, switches in builders.items():
        classifier = _build(backbone, insert_after, switches, options).to(device)
        row[f"{name}_saved_mib"] = saved_bytes(classifier, video) / 2**20
        step = _training_step(classifier, video, with_optimizer=options.step)
        row[f"{name}_ms"] = _best(step, options.repeats, device)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            step()
            row[f"{name}_peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
        row[f"{name}_clips_per_s"] = options.batch / row[f"{name}_ms"] * 1e3
        if name == "pks4":
            alone = _module_alone(classifier, num_frames, options.batch, device)
            traffic = count_traffic(alone)
            row["module_touched_mib"] = traffic.touched / 2**20
            row["module_copied_mib"] = traffic.copied / 2**20
            row["module_ms"] = _best(alone, options.repeats, device)
            del alone
        # hooks tie a classifier to itself: without this, four of them would be in memory
        del classifier, step
        gc.collect()
    row["added"] = row["pks4_ms"] / row["plain_ms"] - 1
    row["module_share"] = row["module_ms"] / row["plain_ms"]
    return row


def _build(
    backbone: dict[str, int],
    insert_after: int,
    switches: dict[str, bool],
    options: argparse.Namespace,
) -> PKS4Classifier:
    config = PKS4Config(
        num_classes=174,
        pretrained=False,
        backbone_config=backbone,
        insert_after=insert_after,
        gradient_checkpointing=options.checkpointing,
        compile=options.compile,
        **switches,
    )
    return build_classifier(config)


def _training_step(
    classifier: nn.Module, video: torch.Tensor, *, with_optimizer: bool
) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=1e-5)
    labels = torch.zeros(len(video), dtype=torch.long, device=video.device)

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=video.is_cuda):
            loss = nn.functional.cross_entropy(classifier(video), labels)
        loss.backward()
        if with_optimizer:
            optimizer.step()
        optimizer.zero_grad()

    return step


def _module_alone(
    classifier: PKS4Classifier, num_frames: int, batch: int, device: str
) -> Callable[[], None]:
    module, config = classifier.pks4, classifier.backbone.config
    assert module is not None
    side = config.image_size // config.patch_size
    layout = ClipLayout(num_frames=num_frames, grid_size=(side, side))
    tokens = torch.randn(
        batch * num_frames, side * side + 1, config.hidden_size, device=device, requires_grad=True
    )

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=device == "cuda"):
            y = module(tokens, layout)
        y.backward(torch.ones_like(y))
        module.zero_grad()

    return step


def saved_bytes(classifier: nn.Module, video: torch.Tensor) -> int:
    """Count the bytes that a forward pass saves for the backward pass, without parameters."""
    own = {p.untyped_storage().data_ptr() for p in classifier.parameters()}
    saved: dict[int, int] = {}

    def keep(x: torch.Tensor) -> torch.Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return x

    with (
        torch.autocast("cuda", torch.bfloat16, enabled=video.is_cuda),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x),
    ):
        logits = classifier(video)
    assert logits.requires_grad
    return sum(saved.values())


def _best(run: Callable[[], None], repeats: int, device: str) -> float:
    """Return the time of the fastest run after one warm-up, in ms."""
    clock = getattr(time, clock_name(device))
    times = []
    for _ in range(repeats + 1):
        start = clock()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(clock() - start)
    return min(times[1:]) * 1e3


def show(rows: list[dict[str, Any]]) -> None:
    """Print one line per model and length."""
    heads = ["model", "frames", "plain ms", "with PKS4", "added", "PKS4 alone", "its share"]
    heads.append("MiB moved, copied")
    on_gpu = any("plain_peak_gib" in row for row in rows)
    table = Table(*heads, *(["clips/s", "peak GiB"] if on_gpu else ["kept MiB"]))
    for row in rows:
        both = [
            " → ".join(f"{row[f'{name}_{key}']:.{digits}f}" for name in ("plain", "pks4"))
            for key, digits in (
                [("clips_per_s", 1), ("peak_gib", 1)] if on_gpu else [("saved_mib", 0)]
            )
        ]
        table.add_row(
            row["model"],
            str(row["frames"]),
            f"{row['plain_ms']:.0f}",
            f"{row['pks4_ms']:.0f}",
            f"{row['added']:.1%}",
            f"{row['module_ms']:.0f}",
            f"{row['module_share']:.1%}",
            f"{row['module_touched_mib']:.0f}, {row['module_copied_mib']:.0f}",
            *both,
        )
    console = Console()
    console.print(table)
    console.print(
        "Moved: read and written by the operators of PKS4 alone, some of it only to copy."
    )
    if not on_gpu:
        console.print("Kept: by the forward pass for the backward pass.")


if __name__ == "__main__":
    main()
