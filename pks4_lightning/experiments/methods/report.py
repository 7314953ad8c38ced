"""Report a comparison of methods: costs and accuracies, as a table and a figure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import yaml
from jaxtyping import Bool
from matplotlib.figure import Figure
from rich.table import Table

from pks4_lightning.cli.settings import Settings
from pks4_lightning.cost.flops import count_flops, total_flops
from pks4_lightning.cost.memory import saved_for_backward
from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.cost.parameters import count_parameters
from pks4_lightning.cost.training_step import Precision
from pks4_lightning.experiments.comparison import Right
from pks4_lightning.experiments.plan import Trial
from pks4_lightning.experiments.results import Result
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.pictures.trade_offs import Point, trade_off_figure
from pks4_lightning.tables import new_table

__all__ = ["MethodReport", "method_reports", "method_table", "methods_figure"]


@dataclass(frozen=True, kw_only=True)
class MethodReport:
    """One method: its size, cost, training and accuracy."""

    method: str
    parameters: int
    trained: int
    """Number of trained parameters."""
    gflops: float
    """GFLOPs per view without the attention's two products, the paper's convention for PKS^4."""
    gflops_with_attention: float
    kept_mib_per_clip: float
    """Activations that the forward pass keeps for the backward pass, counted."""
    peak_mib: float
    """Peak memory measured in training, mean over seeds and folds: allocated on a GPU; on a CPU
    resident, which is mostly the interpreter and its libraries."""
    seconds: float
    """Seconds of a training, including validation, mean over seeds and folds."""
    seconds_per_step: float
    top1: float
    """Accuracy on the test videos, 0 to 1, mean over seeds."""
    top1_std: float | None
    """Standard deviation over seeds; ``None`` for one seed."""
    seeds: list[int]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def method_reports(
    trials: Sequence[Trial], results: Sequence[Result], right: Right | None = None
) -> list[MethodReport]:
    """Combine costs and results.

    Args:
        trials: Finished trials.
        results: Their results, and possibly others.
        right: Predictions of a cross-validation: a seed's top-1 is pooled over all clips.

    Returns:
        One report per arm, in order, over its seeds.
    """
    of_arms: dict[str, list[Trial]] = {}
    for trial in trials:
        of_arms.setdefault(trial.arm.name, []).append(trial)
    return [
        _report(group, results, None if right is None else right[name])
        for name, group in of_arms.items()
    ]


def _report(
    trials: Sequence[Trial], results: Sequence[Result], right: Bool[np.ndarray, "S C"] | None
) -> MethodReport:
    name, settings = trials[0].arm.name, trials[0].settings
    seeds = list(dict.fromkeys(trial.seed for trial in trials))
    places = {(trial.seed, trial.fold) for trial in trials}
    ours = [each for each in results if each.row == name and (each.seed, each.fold) in places]
    top1 = [each.top1 for each in ours] if right is None else right.mean(axis=1).tolist()
    seconds = mean(each.seconds for each in ours)
    return MethodReport(
        method=name,
        **_counted(settings),
        peak_mib=round(mean(each.peak_memory_mb for each in ours), 1),
        seconds=round(seconds, 1),
        seconds_per_step=round(seconds / _num_steps(trials[0].folder), 4),
        top1=round(mean(top1), 4),
        top1_std=round(stdev(top1), 4) if len(top1) > 1 else None,
        seeds=seeds,
    )


def _counted(settings: Settings) -> dict[str, Any]:
    data = settings["data"]
    config = PKS4Config(**settings["model"]["classifier"])
    trains = settings["model"]["recipe"]["trains"]
    classifier = meta_classifier(config, trains)
    frames = {"num_frames": data["num_frames"], "frame_size": data["frame_size"]}
    flops = total_flops(count_flops(classifier, **frames))
    precision = Precision.named(settings["trainer"]["precision"])
    kept = saved_for_backward(config, **frames, precision=precision, trains=trains)
    return {
        "parameters": sum(count_parameters(classifier).values()),
        "trained": sum(count_parameters(classifier, trainable=True).values()),
        "gflops": round(flops.paper / 1e9, 4),
        "gflops_with_attention": round(flops.all_matmuls / 1e9, 4),
        "kept_mib_per_clip": round(kept.per_clip / 2**20, 2),
    }


def _num_steps(folder: Path) -> int:
    resolved = yaml.safe_load(
        (folder / "checkpoints" / "resolved.yaml").read_text(encoding="utf-8")
    )
    return int(resolved["total_steps"])


def method_table(reports: Sequence[MethodReport]) -> Table:
    """Format the reports for a terminal.

    Args:
        reports: The reports in the order to show.
    """
    table = new_table(
        caption="GFLOPs per view: in the paper's convention for PKS⁴, and with the attention's two "
        "products. Activations kept per clip are counted; peak memory of the training is measured. "
        "Seconds of the training, and per step. Top-1 in %, mean ± standard deviation over seeds.",
        dense=True,
    )
    table.add_column("method", overflow="fold", min_width=13)
    for heading in (
        *("parameters", "trained", "GFLOPs\npaper's", "GFLOPs\nall", "kept\nMiB/clip", "peak\nMiB"),
        *("training\ns", "step\ns", "top-1\n%", "seeds"),
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in reports:
        spread = "" if each.top1_std is None else f" ± {100 * each.top1_std:.1f}"
        table.add_row(
            each.method,
            *(f"{number:,}" for number in (each.parameters, each.trained)),
            *(f"{number:.3g}" for number in (each.gflops, each.gflops_with_attention)),
            f"{each.kept_mib_per_clip:,.1f}",
            f"{each.peak_mib:,.0f}",
            f"{each.seconds:,.0f}",
            f"{each.seconds_per_step:.3f}",
            f"{100 * each.top1:.1f}{spread}",
            str(len(each.seeds)),
        )
    return table


def methods_figure(reports: Sequence[MethodReport]) -> Figure:
    """Draw accuracy against compute, memory and training time, with the name of each method.

    Args:
        reports: Reports of any methods.
    """
    panels = {
        "GFLOPs per view, attention's products included": "gflops_with_attention",
        "activations kept per clip, MiB": "kept_mib_per_clip",
        "training, s": "seconds",
    }
    return trade_off_figure(
        {
            title: [
                Point(
                    each.method,
                    getattr(each, cost),
                    100 * each.top1,
                    f"{'PKS⁴' if each.method == 'pks4' else 'other methods'}, mean over seeds",
                )
                for each in reports
            ]
            for title, cost in panels.items()
        },
        named=True,
    )
