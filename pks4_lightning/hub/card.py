"""Write the model card of a published classifier: results, protocol, cost and licences."""

import json
import platform
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from pks4_lightning.cost.flops import count_flops, total_flops
from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.cost.parameters import count_parameters
from pks4_lightning.suggestions import did_you_mean_path
from pks4_lightning.training.checkpoints.trained import Trained
from pks4_lightning.version import __version__

__all__ = ["CardFacts", "Measured", "read_measured", "write_card"]

_PAPER = "https://arxiv.org/abs/2604.26461"
_PACKAGES = ("torch", "lightning", "transformers", "av")
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|~$&#]|^[-+=]")
_SPLITS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The results of a test, without the paths in its report; and what made them."""

    split: str
    num_scored: int
    num_listed: int
    top1: float
    top5: float
    top1_interval: list[float]
    mean_class_accuracy: float
    made_by: dict[str, Any]
    """Not published."""


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """Facts that only the publisher knows."""

    name: str
    """Name of the model."""
    dataset: str
    """Name of the data set used for training and testing."""
    license: str | None = None
    """Licence of the weights, as abbreviated on the hub (``apache-2.0``, ``cc-by-nc-4.0``)."""
    tower_license: str | None = None
    """Licence of the image tower that training started from."""
    data_license: str | None = None
    """Licence of the data set."""
    measured: Measured | None = None


def read_measured(path: Path) -> Measured:
    """Read ``metrics.json`` of `pks4 test`.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not such a file.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}"
            + did_you_mean_path(path, "`pks4 test` writes it into the run's folder")
        )
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Measured(
            split=_SPLITS[said["split"]],
            num_scored=int(said["num_scored"]),
            num_listed=int(said["num_listed"]),
            top1=float(said["test/video_top1"]),
            top5=float(said["test/video_top5"]),
            top1_interval=[float(bound) for bound in said["test/video_top1_interval"]],
            mean_class_accuracy=float(said["test/video_mean_class_accuracy"]),
            made_by=dict(said.get("made_by", {})),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a report of `pks4 test`: {error!r}.") from error


def write_card(path: Path, trained: Trained, facts: CardFacts) -> None:
    """Write the model card.

    Args:
        path: ``README.md``.
        trained: The published classifier.
        facts: Facts from the publisher.
    """
    sections = [
        f"---\n{_front_matter(trained, facts)}\n---",
        f"# {_text(facts.name)}",
        _summary(trained),
        _use(facts.name),
        _results(facts),
        _protocol(trained),
        _cost(trained),
        _environment(),
        _licences(trained, facts),
    ]
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def _front_matter(trained: Trained, facts: CardFacts) -> str:
    found = facts.measured
    results = []
    if found is not None:
        results = [
            EvalResult(
                task_type="video-classification",
                dataset_type=re.sub(r"\W+", "-", facts.dataset.lower()),
                dataset_name=facts.dataset,
                dataset_split=found.split,
                metric_type="accuracy",
                metric_name=name,
                metric_value=round(100 * value, 2),
            )
            for name, value in (("top-1 accuracy", found.top1), ("top-5 accuracy", found.top5))
        ]
    backbone = trained.config.backbone
    return ModelCardData(
        license=facts.license,
        library_name="pks4-lightning",
        pipeline_tag="video-classification",
        base_model=backbone if "/" in backbone and not _is_packaged(backbone) else None,
        tags=["pks4", "video", "action-recognition", "state-space-model"],
        model_name=facts.name,
        eval_results=results or None,
    ).to_yaml()


def _is_packaged(backbone: str) -> bool:
    return backbone.startswith("pks4_lightning/")


def _summary(trained: Trained) -> str:
    names = trained.clip.label_names
    tower = trained.config.network or trained.config.backbone
    shown = ", ".join(map(_text, names[:5])) + (", …" if len(names) > 5 else "")
    return (
        f"A video classifier of {len(names)} classes ({shown}), made with "
        f"[PKS⁴]({_PAPER}) in PyTorch Lightning: `{trained.config.temporal}` on {_text(tower)}."
    )


def _use(name: str) -> str:
    return f"""## Use

```python
import pks4_lightning

model = pks4_lightning.load({json.dumps(name, ensure_ascii=False)})  # a folder or a hub id
for label, score in model.predict("clip.mp4"):
    print(f"{{score:.1%}}  {{label}}")
```"""


def _results(facts: CardFacts) -> str:
    found = facts.measured
    if found is None:
        return "## Results\n\nNot tested yet."
    low, high = found.top1_interval
    lost = found.num_listed - found.num_scored
    return f"""## Results

{_text(facts.dataset)}, {found.split} split, {found.num_scored:,} videos\
{f" ({lost:,} more were missing or damaged)" if lost else ""}:

| top-1 | 95 % interval | top-5 | mean class accuracy |
|---|---|---|---|
| {found.top1:.2%} | {low:.1%} – {high:.1%} | {found.top5:.2%} \
| {found.mean_class_accuracy:.2%} |"""


def _protocol(trained: Trained) -> str:
    clip = trained.clip
    scale = clip.resize if isinstance(clip.resize, int) else " × ".join(map(str, clip.resize))
    frames = f"one frame from each of {clip.num_frames} equal parts of the video"
    if clip.frame_rate is not None:
        frames = f"{clip.num_frames} frames, {clip.frame_rate:g} per second"
    return f"""## Protocol

{clip.num_frames}×{trained.num_clips}×{trained.num_crops} (frames × clips × crops), unless a test \
asks for other views: {frames}, scaled to {scale} pixels, crops of {clip.frame_size} × \
{clip.frame_size} pixels; scores are averaged over the views."""


def _cost(trained: Trained) -> str:
    classifier = meta_classifier(trained.config)
    counted = count_parameters(classifier)
    flops = total_flops(
        count_flops(
            classifier, num_frames=trained.clip.num_frames, frame_size=trained.clip.frame_size
        )
    )
    views = trained.num_clips * trained.num_crops
    rows = [
        ("parameters, millions", f"{sum(counted.values()) / 1e6:.2f}"),
        ("GFLOPs per view, all matrix products", f"{flops.all_matmuls / 1e9:.2f}"),
        ("GFLOPs per view, the paper's convention", f"{flops.paper / 1e9:.2f}"),
        ("views per video", str(views)),
    ]
    return "## Cost\n\n| | |\n|---|---|\n" + "\n".join(f"| {name} | {n} |" for name, n in rows)


def _environment() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"## Environment\n\nPublished with Python {platform.python_version()}, "
        f"pks4-lightning {__version__}, {packages}. The "
        "weights are safetensors and the description JSON. Loading these files never executes code."
    )


def _licences(trained: Trained, facts: CardFacts) -> str:
    tower = trained.config.network or trained.config.backbone
    rows = [
        ("these weights", facts.license),
        (f"the tower, {_text(tower)}", facts.tower_license),
        (f"the data, {_text(facts.dataset)}", facts.data_license),
    ]
    return "## Licences\n\n| of | licence |\n|---|---|\n" + "\n".join(
        f"| {what} | {_text(licence or 'not stated')} |" for what, licence in rows
    )


def _text(words: str) -> str:
    """Write somebody's words as one line of Markdown in which no sign has a meaning."""
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(words.split()))
