"""``pks4 demo``: the whole job on a small embedded data set, with a baseline beside it."""

import argparse
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from pks4_lightning.demo.motion.dataset import generate_motion_dataset
from pks4_lightning.demo.report import (
    MODELS,
    Run,
    draw_pictures,
    measure,
    results_table,
    summarise,
)
from pks4_lightning.experiments.processes import Command, CommandError, run_side_by_side
from pks4_lightning.files import atomic_write

__all__ = ["main"]

logger = logging.getLogger(__name__)

Settings = Mapping[str, str | Sequence[str]]
"""What a run was made with: its command and the digest of its configuration."""

_DONE = {"fit": "fit_done.json", "test": "test_done.json"}


def main(argv: list[str] | None = None) -> int:
    """Make the data, train and test PKS⁴ and the baseline, and show what came out.

    Whatever is finished is not done again.

    Args:
        argv: Arguments; ``None`` takes the process's own.

    Returns:
        The exit status: 0, 1 after saying what went wrong, or 130 if interrupted.
    """
    arguments = _parser().parse_args(argv)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("pks4_lightning").setLevel(logging.INFO)
    try:
        _run(arguments)
    except (CommandError, ValueError, OSError) as error:
        logger.error("%s", error)
        return 1
    except KeyboardInterrupt:
        logger.error("Stopped; the same command continues from the last whole epoch.")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pks4 demo",
        description="Videos in time-reversal pairs: make them, train PKS⁴ and a baseline that "
        "averages frames, test both, compare.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder to write")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one training of each")
    parser.add_argument("--at_once", type=int, default=2, help="trainings side by side")
    parser.add_argument("--epochs", type=int, help="instead of the configurations' number")
    parser.add_argument("--num_train", type=int, default=1200, help="training videos")
    parser.add_argument("--num_val", type=int, default=240, help="validation videos")
    parser.add_argument("--num_test", type=int, default=400, help="test videos")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    """Do what is not done yet, then report."""
    for name, least in (("num_train", 2), ("num_val", 2), ("num_test", 2), ("at_once", 1)):
        if getattr(arguments, name) < least:
            raise ValueError(f"{name} ({getattr(arguments, name)}) must be at least {least}.")
    home, out = _project_folder(), arguments.out.resolve()
    data = generate_motion_dataset(
        out / "data",
        num_train=arguments.num_train,
        num_val=arguments.num_val,
        num_test=arguments.num_test,
    )
    runs = [
        Run(model, seed, (out / f"seed{seed}" if seed else out) / model)
        for seed in dict.fromkeys(arguments.seeds)
        for model in MODELS
    ]
    chains = [_commands_of(run, data=data, home=home, epochs=arguments.epochs) for run in runs]
    for chain in chains:
        for command in chain:
            logger.info("%s", command)
    run_side_by_side(chains, at_once=arguments.at_once, folder=home)
    summary = summarise({run: measure(run, data=data) for run in runs})
    with atomic_write(out / "results.json") as path:
        path.write_text(json.dumps(summary, indent=2) + "\n")
    pictures = draw_pictures(runs, data=data, folder=out)
    Console().print(results_table(summary))
    for path in (out / "results.json", *pictures):
        logger.info("%s", _short(path, home))


def _project_folder() -> Path:
    """Find the folder with the configurations: the current one, or that of the source tree.

    Raises:
        FileNotFoundError: If the package was installed without its source tree.
    """
    for folder in (Path.cwd(), Path(__file__).parents[2]):
        if all((folder / "configs" / "demo" / f"{model}.yaml").is_file() for model in MODELS):
            return folder
    raise FileNotFoundError(
        f"configs/demo is not in {Path.cwd()}; run `pks4 demo` in the project's source tree."
    )


def _commands_of(run: Run, *, data: Path, home: Path, epochs: int | None) -> list[Command]:
    """List what is still to be done for a run: to train it, to test it.

    Raises:
        ValueError: If the run was finished with other settings.
    """
    config = home / "configs" / "demo" / f"{run.model}.yaml"
    folder = _short(run.folder, home)
    fit = ["fit", "--config", _short(config, home), "--data.root", _short(data, home)]
    fit += ["--trainer.default_root_dir", folder]
    if run.seed:
        fit += ["--seed_everything", str(run.seed), "--data.seed", str(run.seed)]
    if epochs is not None:
        fit += ["--trainer.max_epochs", str(epochs)]
    checkpoints = run.folder / "checkpoints"
    test = ["test", "--ckpt_path", f"{folder}/checkpoints/best.ckpt"]
    settings = {"command": fit, "config": hashlib.sha256(config.read_bytes()).hexdigest()}
    trained = _is_done(run.folder, "fit", settings)
    tested = trained and _is_done(run.folder, "test", settings)
    commands: list[Command] = []
    if not trained:
        resume = ["--ckpt_path", f"{folder}/checkpoints/last.ckpt"]
        continued = fit + (resume if (checkpoints / "last.ckpt").is_file() else [])
        commands.append(_command("training", continued, run, settings, "fit"))
    if not tested:
        commands.append(_command("testing", test, run, settings, "test"))
    return commands


def _command(
    doing: str, arguments: Sequence[str], run: Run, settings: Settings, stage: str
) -> Command:
    seed = f", seed {run.seed}" if run.seed else ""
    return Command(
        name=f"{doing} {MODELS[run.model]}{seed}",
        arguments=tuple(arguments),
        log=run.folder / f"{stage}.log",
        on_success=partial(_mark_done, run.folder, stage, settings),
    )


def _is_done(folder: Path, stage: str, settings: Settings) -> bool:
    mark = folder / _DONE[stage]
    if not mark.is_file():
        return False
    if json.loads(mark.read_text()) != settings:
        raise ValueError(
            f"{folder} holds a run with other settings (see {mark.name}); "
            "delete it, or choose another --out."
        )
    return True


def _mark_done(folder: Path, stage: str, settings: Settings) -> None:
    with atomic_write(folder / _DONE[stage]) as path:
        path.write_text(json.dumps(settings, indent=1) + "\n")


def _short(path: Path, home: Path) -> str:
    """Name a path as seen from the project's folder, where the commands run."""
    return str(path.relative_to(home)) if path.is_relative_to(home) else str(path)


if __name__ == "__main__":
    raise SystemExit(main())
