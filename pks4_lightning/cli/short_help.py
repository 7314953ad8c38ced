"""The short help of ``pks4 fit | validate | test | predict --help``: the most common settings.

The texts are written out here so that the help imports neither torch nor Lightning. A test compares
every name and default with the parser.
"""

from typing import NamedTuple

__all__ = ["FIRST", "Row", "short_help"]

_NAME_WIDTH = 42


class Row(NamedTuple):
    """One setting."""

    name: str
    default: object
    """Default in a new training. Tests and predictions take the value from their checkpoint."""
    meaning: str


_CLIPS = (
    Row("data.num_frames", 8, "frames of a clip"),
    Row("data.frame_size", None, "side of a frame in pixels; null: the backbone's own"),
)
_VIEWS = (
    Row("data.num_clips", 1, "clips per video, whose scores are averaged"),
    Row("data.num_crops", 1, "crops per clip: 1 or 3"),
)
_WORK = (
    Row("data.num_workers", 4, "processes that decode videos"),
    Row("trainer.accelerator", "auto", "cpu, gpu, auto"),
    Row("trainer.devices", "auto", "number of devices, or their indices: [1,3]"),
    Row("trainer.precision", None, "32, bf16-mixed, 16-mixed"),
    Row("trainer.default_root_dir", "runs", "output folder"),
)
_DATA_SET = (
    Row("data.root", None, "folder of the data set"),
    Row("data.format", "auto", "ssv2, kinetics, ucf101, csv, list, folder, …"),
)
_CHECKPOINT = Row("ckpt_path", None, "the training's checkpoint; provides all settings")

FIRST: dict[str, tuple[Row, ...]] = {
    "fit": (
        *_DATA_SET,
        Row("data.train", None, "training annotations, if not found in the root"),
        Row("data.val", None, "validation annotations"),
        Row("data.labels", None, "file with the class names"),
        *_CLIPS,
        Row("data.frame_rate", None, "frames per second; null: spread over the video"),
        Row("data.batch_size", 16, "videos per device and step"),
        Row("model.classifier.num_classes", None, "number of classes; required"),
        Row(
            "model.classifier.backbone",
            "openai/clip-vit-base-patch16",
            "hub id or folder",
        ),
        Row("model.classifier.insert_after", 8, "backbone block after which PKS⁴ is inserted"),
        Row("model.classifier.class_route", "token_t1d", "none, tsm, token_t1d, …, pooled_t1d"),
        Row("model.classifier.gradient_checkpointing", False, "less memory, a third slower"),
        Row("model.init_from", None, "start from these weights: checkpoint or export"),
        Row("model.recipe.base_lr", 0.0007, "learning rate at 256 videos per step"),
        Row("model.recipe.trains", "all", "all, after_insertion, head"),
        Row("trainer.max_epochs", None, "passes over the training videos"),
        Row("trainer.accumulate_grad_batches", 1, "batches per step"),
        *_WORK,
        Row("trainer.fast_dev_run", False, "true tries one batch of everything"),
        Row("seed_everything", 0, "seed of the weights"),
        Row("data.seed", 0, "seed of the order and of every draw"),
        Row("ckpt_path", None, "resume: a checkpoint, last, or auto (last, if any)"),
    ),
    "validate": (_CHECKPOINT, *_DATA_SET, *_CLIPS, Row("data.batch_size", 16, "videos"), *_WORK),
    "test": (
        _CHECKPOINT,
        *_DATA_SET,
        Row("data.test", None, "test annotations, if not found in the root"),
        *_VIEWS,
        *_CLIPS,
        Row("data.test_batch_size", None, "videos per batch"),
        *_WORK,
    ),
    "predict": (
        _CHECKPOINT,
        *_VIEWS,
        *_CLIPS,
        Row("data.test_batch_size", None, "videos per batch"),
        *_WORK,
    ),
}
"""The most common settings of each command."""

_EXAMPLES = {
    "fit": """\
  pks4 fit --config ssv2 --data.root /data/ssv2
  pks4 fit --config ssv2 --ckpt_path last    # resumes an interrupted run""",
    "validate": "  pks4 validate --ckpt_path runs/ssv2_b16_f8/checkpoints/best.ckpt",
    "test": """\
  pks4 test --ckpt_path runs/ssv2_b16_f8/checkpoints/best.ckpt
  pks4 test --ckpt_path best.ckpt --data.num_clips 2 --data.num_crops 3""",
    "predict": """\
  pks4 predict --ckpt_path best.ckpt clip.mp4
  pks4 predict --ckpt_path best.ckpt /my/videos --out labels --num_best all --format jsonl
  pks4 predict --ckpt_path best.ckpt /my/videos --out labels --resume
  pks4 predict --ckpt_path best.ckpt match.mp4 --window 2.0 --stride 1.0 --overlay seen.mp4
  pks4 predict --ckpt_path best.ckpt /my/videos --window 2.0 --format srt    # timed labels""",
}


def short_help(command: str) -> str:
    """Return the text below the usage of a command.

    Args:
        command: ``fit``, ``validate``, ``test`` or ``predict``.
    """
    lines = ["common settings:", _line("-c, --config FILE", "settings in YAML; later options win")]
    for row in FIRST[command]:
        default = f" [{_spell(row.default)}]" if row.default is not None else ""
        if command != "fit" and row.name.startswith("data."):
            default = ""
        lines.append(_line(f"--{row.name}", f"{row.meaning}{default}"))
    lines += [
        *("", "more:"),
        _line(f"pks4 {command} --help data", "the same for model, trainer, data.augmentation, …"),
        _line(f"pks4 {command} --help all", "every setting"),
        _line(f"pks4 {command} … --print_config", "the resulting configuration"),
        *("", "examples:", _EXAMPLES[command]),
    ]
    return "\n".join(lines)


def _line(left: str, right: str) -> str:
    return f"  {left:<{_NAME_WIDTH}} {right}"


def _spell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
