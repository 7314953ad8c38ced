"""Define, parse and look up the settings of a training."""

import argparse
import functools
import json
from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser

from pks4_lightning.cli.errors import ArgumentsError
from pks4_lightning.cli.frame_settings import fill_in_frames
from pks4_lightning.cli.parser import OneSentenceParser
from pks4_lightning.data.datamodule import VideoDataModule
from pks4_lightning.suggestions import did_you_mean
from pks4_lightning.training.callbacks.last_checkpoint import LastCheckpoint
from pks4_lightning.training.callbacks.watchdog import Watchdog
from pks4_lightning.training.checkpoints.reading import read_checkpoint
from pks4_lightning.training.task import VideoClassificationTask

__all__ = [
    "Settings",
    "add_settings",
    "data_module",
    "option_names",
    "resolve",
    "saved_settings",
    "settings_help",
]

Settings = dict[str, Any]
"""Nested plain values, as in a configuration file."""

_TRAINER_DEFAULTS = {
    "default_root_dir": "runs",
    # Our sampler handles the ranks; Lightning's would pad a test with duplicates.
    "use_distributed_sampler": False,
    # Our summary replaces Lightning's, and adds the resolved settings.
    "enable_model_summary": False,
}
"""Trainer defaults that differ from Lightning's."""

# Settings that a later test or prediction takes over from the training. Checkpoint settings are
# among them because Lightning warns if the checkpoint callbacks of the training are missing.
_KEPT_FOR_EVALUATION = ("seed_everything", "model", "data", "best_checkpoint", "last_checkpoint")
_KEPT_OF_TRAINER = ("default_root_dir", "precision")
_OF_ONE_RUN = ("ckpt_path", "allow_changes", "weights_only")


def add_settings(parser: LightningArgumentParser) -> None:
    """Add all settings of a training to a parser.

    Args:
        parser: Receives ``seed_everything``, the groups ``trainer``, ``model`` and ``data``, both
            checkpoint callbacks, the watchdog, and whether a resumed run may differ.
    """
    parser.add_argument(
        "--seed_everything",
        type=bool | int,
        default=0,
        help="Seed of the weights and of all random draws during training; true picks one at "
        "random.",
    )
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.set_defaults({f"trainer.{key}": value for key, value in _TRAINER_DEFAULTS.items()})
    parser.add_lightning_class_args(VideoClassificationTask, "model")
    parser.add_lightning_class_args(VideoDataModule, "data")
    both = {"auto_insert_metric_name": False, "enable_version_counter": False}
    best = {"filename": "best", "monitor": "val/top1", "mode": "max", **both}
    # A separate callback, because `save_last` writes only when the best checkpoint is written.
    last = {"filename": "last", "save_on_train_epoch_end": True, **both}
    for group, kind, defaults in (
        ("best_checkpoint", ModelCheckpoint, best),
        ("last_checkpoint", LastCheckpoint, last),
    ):
        parser.add_lightning_class_args(kind, group)
        parser.set_defaults({f"{group}.{key}": value for key, value in defaults.items()})
    parser.add_lightning_class_args(Watchdog, "watchdog")
    parser.add_argument(
        "--allow_changes",
        type=bool,
        default=False,
        help="With fit --ckpt_path: resume even if recipe, schedule (such as a larger "
        "trainer.max_epochs), classifier, clips or training videos differ from those of the "
        "checkpoint.",
    )


def resolve(
    arguments: Sequence[str], *, checkpoint: str | None = None, looks_up: bool = True
) -> Settings:
    """Resolve the arguments of ``pks4 fit`` into settings, without building or writing anything.

    Args:
        arguments: ``--config FILE``, ``--setting VALUE`` or ``--setting=VALUE``; later ones win.
        checkpoint: A training checkpoint whose settings the arguments modify.
        looks_up: Read frame settings that are left open from the backbone; otherwise they stay
            null.

    Returns:
        All settings of a training, with defaults filled in.

    Raises:
        FileNotFoundError: If there is no such checkpoint, or the backbone is needed and not found.
        ValueError: If the file is not a checkpoint of this package, or the arguments do not parse.
    """
    before = []
    if checkpoint is not None:
        before = [f"--config={json.dumps(saved_settings(checkpoint, command='fit'))}"]
    parser = _settings_parser()
    try:
        parsed = parser.parse_args([*before, *arguments])
        if looks_up:
            fill_in_frames(parsed)
        plain: Settings = json.loads(parser.dump(parsed, format="json", skip_unset=False))
    except argparse.ArgumentError as error:
        raise ArgumentsError(parser.one_sentence(error.message)) from None
    return {key: value for key, value in plain.items() if key not in _OF_ONE_RUN}


def data_module(settings: Settings) -> VideoDataModule:
    """Build only the data module of a training.

    Args:
        settings: From :func:`resolve`.
    """
    parser = OneSentenceParser(exit_on_error=False)
    parser.add_class_arguments(VideoDataModule, "data")
    data: VideoDataModule = parser.instantiate_classes(
        parser.parse_object({"data": settings["data"]})
    ).data
    return data


def saved_settings(path: str, *, command: str) -> Settings:
    """Return the settings stored in a checkpoint, as a configuration for ``command``.

    Args:
        path: The checkpoint.
        command: ``fit`` takes all settings of the training; other commands take model, data, seed,
            precision and the run's folder.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a checkpoint of this package.
    """
    checkpoint = read_checkpoint(path)
    saved: Settings = dict(checkpoint.get("config", {}))
    saved["model"] = checkpoint["hyper_parameters"]
    if command != "fit":
        trainer = saved.get("trainer", {})
        saved = {key: saved[key] for key in _KEPT_FOR_EVALUATION if key in saved}
        saved["trainer"] = {key: trainer[key] for key in _KEPT_OF_TRAINER if key in trainer}
    saved = {key: value for key, value in saved.items() if key not in _OF_ONE_RUN}
    # Through JSON, so that tuples become lists, as in a parsed configuration.
    plain: Settings = json.loads(json.dumps(saved))
    return plain


def option_names() -> list[str]:
    """Return every setting as an option, such as ``--data.num_frames``."""
    return [
        option
        for action in _settings_parser()._actions
        for option in action.option_strings
        if option.startswith("--") and "help" not in option and option != "--print_shtab"
    ]


def settings_help(group: str) -> str:
    """Describe the settings of a group.

    Args:
        group: Such as ``data``, ``data.augmentation`` or ``trainer.max_epochs``.

    Raises:
        ArgumentsError: If there is no such group.
    """
    parser = _build_parser()
    known = {str(action.dest) for action in parser._actions}
    for section in parser._action_groups:
        section._group_actions = [
            action for action in section._group_actions if f"{action.dest}.".startswith(f"{group}.")
        ]
    if not any(section._group_actions for section in parser._action_groups):
        raise ArgumentsError(
            f"There are no settings {group}"
            + did_you_mean(group, known, "`pks4 fit --help all` lists all")
        )
    parser.usage, parser.description = argparse.SUPPRESS, None
    return parser.format_help()


def _build_parser() -> OneSentenceParser:
    parser = OneSentenceParser(prog="pks4 fit", exit_on_error=False)
    parser.add_config_option()
    add_settings(parser)
    # the configuration that a run writes contains this key
    parser.add_argument("--ckpt_path", type=str | None, help=argparse.SUPPRESS)
    return parser


_settings_parser = functools.cache(_build_parser)
"""Cached for the many calls of :func:`resolve` in an experiment's plan."""
