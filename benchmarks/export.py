"""Time per clip of each exported form: `python benchmarks/export.py --models tiny B/16`.

Compares on the CPU, in one run: the eager classifier, the classifier under torch.compile, and the
files that `pks4 export` writes, run in the same way as the script exported with them. All use the
same cores and take turns in every round. B/16 takes many minutes, most of them in compilers.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from machine import arguments, write_rows
from rich.console import Console
from rich.table import Table
from stream import MODELS

from pks4_lightning.export.folder import export_classifier
from pks4_lightning.export.ways import WAYS as EXPORTS
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.pretrained import ClipInput
from pks4_lightning.training.checkpoints.trained import Trained

WAYS = ("eager", "compiled", "onnx", "torch", "aoti")


def main() -> None:
    parser = arguments("Milliseconds per clip: eager, compiled, and exported in three ways.")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=["tiny"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5, help="rounds; the median is reported")
    parser.add_argument("--threads", type=int, default=2, help="threads, on as many cores")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # onnxruntime ignores the number of threads and uses every core in its affinity mask
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    rows = []
    for model in options.models:
        trained = untrained(model, options.frames)
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(model, trained, Path(folder), options.ways, options.repeats)
    show(rows)
    write_rows(options.json, rows)


def untrained(model: str, num_frames: int) -> Trained:
    fields, insert_after = MODELS[model]
    config = PKS4Config(
        num_classes=174, pretrained=False, backbone_config=dict(fields), insert_after=insert_after
    )
    size = int(fields["image_size"])
    clip = ClipInput(
        label_names=[str(number) for number in range(174)], num_frames=num_frames,
        resize=size, frame_size=size, mean=[0.5] * 3, std=[0.25] * 3,
    )  # fmt: skip
    return Trained(config, dict(build_classifier(config).state_dict()), clip)


@torch.inference_mode()
def measure(
    model: str, trained: Trained, folder: Path, ways: list[str], repeats: int
) -> list[dict[str, object]]:
    clip = trained.clip
    video = torch.randn(1, 3, clip.num_frames, clip.frame_size, clip.frame_size)
    runs: dict[str, Callable[[], object]] = {}
    rows: dict[str, dict[str, object]] = {}
    for way in ways:
        start = time.perf_counter()
        difference = 0.0
        if way in ("eager", "compiled"):
            classifier = build_classifier(trained.config).eval()
            classifier.load_state_dict(trained.weights)
            if way == "compiled":
                classifier.compile()
            runs[way] = lambda classifier=classifier: classifier(video)
        else:
            with torch.inference_mode(False):
                difference = export_classifier(trained, folder / way, to=way)
            exported = EXPORTS[way].load(folder / way)
            runs[way] = lambda exported=exported: exported(video.numpy())
        runs[way]()  # warm-up: the first call compiles or plans
        rows[way] = {
            "model": model, "way": way, "frames": clip.num_frames, "max_difference": difference,
            "seconds_to_make": round(time.perf_counter() - start, 1),
        }  # fmt: skip
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, run in runs.items():  # interleaved: other load on the machine affects all alike
            start = time.perf_counter()
            run()
            taken[way].append(1e3 * (time.perf_counter() - start))
    return [row | {"ms": round(statistics.median(taken[way]), 1)} for way, row in rows.items()]


def show(rows: list[dict[str, object]]) -> None:
    heads = ("model", "way", "ms per clip", "largest difference", "seconds to make")
    table = Table(*heads, title="one clip at a time")
    for row in rows:
        keys = ("model", "way", "ms", "max_difference", "seconds_to_make")
        table.add_row(
            *(f"{row[key]:.2g}" if key == "max_difference" else str(row[key]) for key in keys)
        )
    Console().print(table)


if __name__ == "__main__":
    main()
