"""``pks4 fit | validate | test | predict``: Lightning's command line for our task and data."""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning import __version__ as lightning_version
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import (
    Callback,
    LearningRateMonitor,
    ModelCheckpoint,
    ProgressBar,
    RichProgressBar,
)
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins import CheckpointIO

from pks4_lightning.cli.frame_settings import fill_in_frames
from pks4_lightning.cli.parser import OneSentenceParser
from pks4_lightning.cli.settings import add_settings, saved_settings
from pks4_lightning.cli.trainer_options import check_monitors, check_options
from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.data.clips.flexible import scaled_resize
from pks4_lightning.data.datamodule import VideoDataModule
from pks4_lightning.files import check_writable, remove_leftovers
from pks4_lightning.locks import hold_lock
from pks4_lightning.models.pretrained import find_export
from pks4_lightning.models.resolve import resolve_backbone_config
from pks4_lightning.training.callbacks.failure_record import FailureRecord
from pks4_lightning.training.callbacks.finite_guard import FiniteGuard
from pks4_lightning.training.callbacks.line_progress import LineProgress
from pks4_lightning.training.callbacks.log_interval import LogInterval
from pks4_lightning.training.callbacks.memory_advice import MemoryAdvice
from pks4_lightning.training.callbacks.prediction_writer import PredictionWriter
from pks4_lightning.training.callbacks.preemption import Preemption
from pks4_lightning.training.callbacks.report_writer import ReportWriter
from pks4_lightning.training.callbacks.run_cost import RunCost
from pks4_lightning.training.callbacks.run_summary import RunSummary
from pks4_lightning.training.callbacks.validation_pictures import ValidationPictures
from pks4_lightning.training.checkpoints.finding import checkpoints_in, find_checkpoint
from pks4_lightning.training.checkpoints.writing import WholeCheckpointIO, check_folder
from pks4_lightning.training.lightning_internals import callbacks
from pks4_lightning.training.resuming.run_state import RunState
from pks4_lightning.training.scoring.made_by import SCORES, TESTS, made_by
from pks4_lightning.training.task import VideoClassificationTask

__all__ = ["PKS4CLI", "run_cli"]

logger = logging.getLogger(__name__)


class SaveConfig(SaveConfigCallback):
    """Store the settings of a training: in its folder (``config.yaml``) and in every checkpoint."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write nothing yet, because data or weights may still be refused."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write ``config.yaml`` into the run's folder; a logger may use another folder, or none."""
        if trainer.is_global_zero:
            folder = Path(trainer.default_root_dir)
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / self.config_filename
            self.parser.save(self.config, str(path), skip_unset=False, overwrite=True)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the settings to the checkpoint, as plain values."""
        checkpoint["config"] = yaml.safe_load(self.parser.dump(self.config, skip_unset=False))


class PKS4CLI(LightningCLI):
    """Lightning's command line with our defaults; settings in a checkpoint become defaults."""

    def __init__(self, args: list[str], *, start: bool, callbacks: Sequence[Callback]) -> None:
        self._command = args[0] if args else None
        self._starts = start
        self._callbacks = callbacks
        self._locks: ExitStack
        super().__init__(
            VideoClassificationTask,
            VideoDataModule,
            save_config_callback=SaveConfig,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_kwargs={"prog": "pks4"},
            args=args,
        )

    def init_parser(self, **kwargs: Any) -> OneSentenceParser:
        """Return a parser that accepts configuration files."""
        parser = OneSentenceParser(
            dump_header=[f"lightning.pytorch=={lightning_version}"], **kwargs
        )
        parser.add_config_option()
        return parser

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add none of Lightning's arguments; :meth:`parse_arguments` handles the checkpoint."""

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the settings of a training."""
        add_settings(parser)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the arguments on top of the settings of the checkpoint they name, if any."""
        arguments = list(args or [])
        path = None
        if arguments and arguments[0] in self.subcommands():
            path = self._starting_point(parser, arguments)
        if path is None:
            self.config = parser.parse_args(arguments)
            fill_in_frames(self.config[self.config.subcommand])
            return
        saved = saved_settings(path, command=arguments[0])
        # Later settings win, so those of the checkpoint come first.
        self.config = parser.parse_args(
            [arguments[0], f"--config={json.dumps(saved)}", *arguments[1:], f"--ckpt_path={path}"]
        )
        fill_in_frames(self.config[arguments[0]])
        if arguments[0] != "fit":
            resize_as_trained(saved.get("data", {}), self.config[arguments[0]].data)
            saved.get("data", {}).pop("predict", None)  # what to label is not a difference
        final = yaml.safe_load(parser.dump(self.config, skip_unset=False))[arguments[0]]
        for line in differences(saved, final):
            logger.info("differs from the checkpoint: %s", line)

    def _starting_point(self, parser: LightningArgumentParser, arguments: list[str]) -> str | None:
        """Return the checkpoint, or a word such as `last`, named by arguments or configuration.

        For ``auto`` without a checkpoint, arguments for a new start are added.
        """
        command = arguments[0]
        # lets jsonargparse read an incomplete configuration; the rest is in the checkpoint
        given = parser.parse_args(
            [each for each in arguments if not each.startswith("--print_config")],
            _skip_validation=True,
        )[command]
        words = ("best", "last", "auto") if command == "fit" else ("best", "last")
        if command != "fit" and given.ckpt_path is None:
            return _weights_to_use(given.get("model.init_from"), arguments)
        if given.ckpt_path not in words:
            return given.ckpt_path
        found = find_checkpoint(given.ckpt_path, _checkpoint_folder(given.trainer.default_root_dir))
        if found is None:
            arguments.append("--ckpt_path=null")
            return None
        return str(found)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # static in Lightning
        """Return the command to run, with the parameters that are not command-line arguments.

        Lightning builds a parser with all settings for each of them, which takes a fifth of the
        time of a short command; so the others are left out.
        """
        # `weights_only` must not be set by a file or an option: see _prepare_subcommand_kwargs
        commands = {
            command: {*skipped, "weights_only"}
            for command, skipped in LightningCLI.subcommands().items()
        }
        return {self._command: commands[self._command]} if self._command in commands else commands

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """Read checkpoints without executing code in them, also those from a URL."""
        return {**super()._prepare_subcommand_kwargs(subcommand), "weights_only": True}

    def _parse_ckpt_path(self) -> None:
        """Do nothing: `parse_arguments` has already merged the checkpoint's settings."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Run the command, unless the caller only wants everything built."""
        if self._starts:
            with ExitStack() as self._locks:
                super()._run_subcommand(subcommand)

    def before_fit(self) -> None:
        """Refuse invalid settings before anything is written.

        Raises:
            FileExistsError: If the folder has checkpoints and none of them is to be resumed, or
                another training is writing to it.
            FileNotFoundError: If the data or the backbone is missing.
            OSError: If checkpoints cannot be written, or there is too little space for them.
            ValueError: If data and model do not match, or the checkpoint to resume holds no
                training state.
        """
        fit = self.config["fit"]
        if fit.ckpt_path is not None and find_export(fit.ckpt_path) is not None:
            raise ValueError(
                f"{fit.ckpt_path} holds only weights, so no training can be resumed: start one "
                "from them with --model.init_from."
            )
        folder = _checkpoint_folder(self.trainer.default_root_dir)
        keeps = not fit.trainer.fast_dev_run
        if self.model.config.num_classes < 2:
            raise ValueError(
                "model.classifier.num_classes is 1; a classifier needs at least 2 classes."
            )
        check_monitors(callbacks(self.trainer))
        self.datamodule.setup("fit")
        self.model.check_labels(self.datamodule)
        if fit.ckpt_path is None and keeps and checkpoints_in(folder):
            raise FileExistsError(
                f"{folder} already holds a run: continue it with --ckpt_path last, or train into "
                "another folder with --trainer.default_root_dir."
            )
        # checks that the backbone is there and the model can be built, without memory or weights
        classifier = meta_classifier(resolve_backbone_config(self.model.config))
        parameters = sum(parameter.numel() for parameter in classifier.parameters())
        found = self.trainer.checkpoint_callbacks if keeps else []
        savers = [each for each in found if isinstance(each, ModelCheckpoint)]
        for folder in {Path(str(saver.dirpath)).resolve() for saver in savers}:
            check_folder(folder, parameters=parameters)
            if self.trainer.is_global_zero:
                busy = FileExistsError(
                    f"Another training is writing to {folder}: wait until it ends, or train into "
                    "another folder with --trainer.default_root_dir."
                )
                self._locks.enter_context(hold_lock(folder / "running.lock", busy))
                remove_leftovers(folder)

    def after_fit(self) -> None:
        """Name the checkpoint to use, and the command that tests it."""
        folder = Path(self.trainer.default_root_dir) / "checkpoints"
        saved = [folder / name for name in ("best.ckpt", "last.ckpt") if (folder / name).is_file()]
        if saved and not self.config["fit"].trainer.fast_dev_run:
            logger.info(
                "The trained model is %s%s; test it with `pks4 test --ckpt_path %s`.",
                *(saved[0], "" if saved[0].stem == "best" else ", as no validation chose another"),
                saved[0],
            )

    def before_test(self) -> None:
        """Replace Lightning's table of results by our report, which accounts for every video.

        Raises:
            OSError: If the results cannot be written.
        """
        folder = Path(self.trainer.default_root_dir) / "test"
        check_writable(folder, what="results", option="--trainer.default_root_dir")
        self.config_init["test"]["verbose"] = False
        for callback in callbacks(self.trainer):
            if isinstance(callback, ReportWriter):
                callback.made_by = self._made_by(TESTS)

    def before_predict(self) -> None:
        """Allow predictions to be continued only with the settings they were started with."""
        for callback in self._callbacks:
            if isinstance(callback, PredictionWriter):
                callback.made_by = self._made_by(SCORES)

    def _made_by(self, names: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
        """Return what decides the results of this run."""
        command = str(self.subcommand)
        final = yaml.safe_load(self.parser.dump(self.config, skip_unset=False))[command]
        return made_by(final["ckpt_path"], final, names)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer with the callbacks that every run has."""
        config = self._get(self.config_init, "trainer")
        given = config.get("callbacks") or []
        given = given if isinstance(given, list) else [given]
        check_options(config, given)
        is_fit = self.subcommand == "fit"
        if config.get("logger") in (None, True):
            root = config.get("default_root_dir") or "."
            # Logs go straight into the run's folder, beside its configuration and checkpoints.
            kwargs["logger"] = TensorBoardLogger(root, name="", version="") if is_fit else False
        plugins = config.get("plugins") or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            kwargs["plugins"] = [*plugins, WholeCheckpointIO()]
        ours: list[Callback] = [Preemption(), ReportWriter(), MemoryAdvice(), *self._callbacks]
        if is_fit:
            ours += [LogInterval(), RunSummary(), RunCost(), FailureRecord(), FiniteGuard()]
            ours.append(RunState(allow_changes=self._get(self.config_init, "allow_changes")))
            if config.get("logger") is not False:
                ours += [LearningRateMonitor(logging_interval="step"), ValidationPictures()]
        wants_bar = config.get("enable_progress_bar") is not False
        if wants_bar and not any(isinstance(callback, ProgressBar) for callback in given):
            ours.append(RichProgressBar() if sys.stdout.isatty() else LineProgress())
        self.trainer_defaults["callbacks"] = ours
        if not is_fit:
            self.save_config_callback = None
        trainer = super().instantiate_trainer(**kwargs)
        for callback in trainer.checkpoint_callbacks:
            # The same with every logger; absolute, because Lightning compares names, not files.
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(_checkpoint_folder(trainer.default_root_dir))
        return trainer

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        """Build the trainer without checkpoint callbacks if checkpoints are disabled."""
        if config.get("enable_checkpointing") is False:
            callbacks = [each for each in callbacks if not isinstance(each, ModelCheckpoint)]
            # Lightning counts Preemption as a checkpoint callback, though it saves nothing itself
            config["enable_checkpointing"] = True
        return super()._instantiate_trainer(config, callbacks)


def _weights_to_use(init_from: str | None, arguments: list[str]) -> str | None:
    """Return the weights of an evaluation that is given no checkpoint.

    `model.init_from`, which starts a training, serves as the checkpoint of an evaluation: its head
    and class names are used.

    Raises:
        ValueError: If there are none, because a random head would give random labels.
    """
    if init_from is not None:
        arguments.append("--model.init_from=null")
        return init_from
    if any(argument.startswith("--print_config") for argument in arguments):
        return None
    raise ValueError(
        f"`pks4 {arguments[0]}` needs trained weights: --ckpt_path names a checkpoint of "
        "`pks4 fit`, or an export of `pks4 export-weights`."
    )


def resize_as_trained(saved: dict[str, Any], data: Namespace) -> None:
    """Scale ``resize`` with ``frame_size``, so that frames of a new size show the same scene.

    Args:
        saved: The data settings of the checkpoint.
        data: Those of the run; ``resize`` is scaled unless it was given explicitly.
    """
    old, resize = saved.get("frame_size"), saved.get("resize")
    given = list(data.resize) if isinstance(data.resize, tuple) else data.resize
    if old and data.frame_size != old and given == resize:
        data.resize = scaled_resize(data.resize, old=old, new=data.frame_size)


def differences(saved: dict[str, Any], final: dict[str, Any], prefix: str = "") -> list[str]:
    """List the settings in which a run differs from the checkpoint it starts from.

    Args:
        saved: Settings of the checkpoint.
        final: Settings of the run; keys that ``saved`` lacks are not differences.
        prefix: Prepended to every key.

    Returns:
        Lines such as ``data.num_clips: 2 -> 1``.
    """
    lines = []
    for key, value in saved.items():
        other = final.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            lines += differences(value, other, f"{prefix}{key}.")
        elif value != other:
            lines.append(f"{prefix}{key}: {value} -> {other}")
    return lines


def run_cli(args: list[str], *, start: bool = True, callbacks: Sequence[Callback] = ()) -> PKS4CLI:
    """Parse arguments, build everything and run the command.

    Args:
        args: The command and its arguments.
        start: If False, everything that a command needs is built, but the command is not run.
        callbacks: Callbacks of this run, in addition to those that every run has.

    Returns:
        The command line object, with ``model``, ``datamodule`` and ``trainer``.
    """
    return PKS4CLI(args, start=start, callbacks=callbacks)


def _checkpoint_folder(root: str | Path | None) -> Path:
    """Return the checkpoint folder of a run, as an absolute path."""
    return Path(root or ".").absolute() / "checkpoints"
