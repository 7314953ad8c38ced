"""The paper's ablations, Tables 5 to 9, and readings of its text, as arms of an experiment."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from pks4_lightning.cli.settings import Settings
from pks4_lightning.experiments.plan import Arm
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.paper.tables import NUM_TABLES, Row, Table, read_table

__all__ = [
    "FRAME_AVERAGING",
    "READINGS",
    "TABLES",
    "ablation_arms",
    "reading_arms",
    "with_trained_routes",
]

TABLES = tuple(number for number in range(1, NUM_TABLES + 1) if read_table(number).sets)
"""Numbers of the ablation tables."""
_PAPERS_BLOCKS = 12
_DEPTH = "model.classifier.insert_after"

FRAME_AVERAGING = (
    *("--model.classifier.class_route", "none"),
    *("--model.classifier.use_scanner", "false"),
    *("--model.classifier.use_variation", "false"),
    *("--model.classifier.use_correlation", "false"),
)
"""Arguments of a model in which frames do not interact."""

READINGS: dict[str, dict[str, Any]] = {
    "Default": {},
    "R1 scan added to the tokens before the priors": {
        "classifier.residual": "single",
        "classifier.prior_init": "default",
    },
    "R1 both residuals, as printed": {"classifier.residual": "literal"},
    "R2 priors start at PyTorch's values": {"classifier.prior_init": "default"},
    "R2 priors start at zero": {"classifier.prior_init": "zero"},
    "R3 step sizes 0.05 to 1": {"classifier.dt_min": 0.05, "classifier.dt_max": 1.0},
    "R4 embeddings at the full rate": {"recipe.embedding_rate": "full"},
    "R5 no decay on class-token convolutions": {"recipe.decay_class_route": False},
    "R6 no context frames, itself": {"classifier.context_frames": 0},
    "R6 no context frames, the previous one": {
        "classifier.context_frames": 0,
        "classifier.zero_context": "previous",
    },
    "R7 TSM on what attention reads": {"classifier.class_route": "tsm"},
    "R7 TSM on the block's input": {
        "classifier.class_route": "tsm",
        "classifier.tsm_shifts": "block",
    },
    "R8 negative ends of the clip": {"classifier.variation_ends": "negative"},
    "R9 priors in float32": {"classifier.prior_precision": "fp32"},
    "Priors without a scan": {"classifier.scanner": "none"},
    "GRU in the scanner's place": {"classifier.scanner": "gru"},
    "Attention in the scanner's place": {"classifier.scanner": "attention"},
}
"""Other readings of the paper (REPRODUCTION.md, Readings) and controls, as model settings."""


def ablation_arms(tables: Sequence[int], *, num_blocks: int) -> list[Arm]:
    """List the rows of tables.

    Table 5 has one more row than in the paper: frame averaging without the class-token route, which
    the paper's text calls its baseline. Table 6 is for a tower of 12 blocks. In a deeper tower,
    PKS⁴ is inserted at the same relative depths; in a shallower one, after every block but the
    last, because the paper's seven places coincide there.

    Args:
        tables: Numbers from :data:`TABLES`, each once.
        num_blocks: Depth of the backbone.

    Raises:
        ValueError: If there is no such table, or it is not an ablation.
    """
    arms: list[Arm] = []
    for number in dict.fromkeys(tables):
        table = read_table(number)
        if number not in TABLES:
            raise ValueError(
                f"Table {number} is not an ablation; the paper's ablations are Tables "
                f"{TABLES[0]} to {TABLES[-1]}."
            )
        if number == 5:
            arms.append(Arm("Frame averaging, no class-token route", FRAME_AVERAGING, table=5))
        if _DEPTH in table.sets and num_blocks != _PAPERS_BLOCKS:
            arms += _depths(table, num_blocks)
        else:
            arms += [Arm(row.name, _arguments(table, row), number, row) for row in table.rows]
    return arms


def with_trained_routes(arms: Sequence[Arm], settings: Settings) -> list[Arm]:
    """Return arms whose class-token routes begin after the blocks that the recipe freezes.

    With ``recipe.trains: after_insertion``, frames must not interact in a frozen block. An arm that
    inserts PKS⁴ after the first route of the others has its own in the blocks after that.

    Args:
        arms: The arms.
        settings: What they share, from :func:`~pks4_lightning.cli.settings.resolve`.
    """
    if settings["model"]["recipe"]["trains"] != "after_insertion":
        return list(arms)
    first = settings["model"]["classifier"]["route_from"]
    return [_with_routes_from(arm, first) for arm in arms]


def _with_routes_from(arm: Arm, first: int) -> Arm:
    given = dict(zip(arm.arguments[::2], arm.arguments[1::2], strict=True))
    frozen = int(given.get(f"--{_DEPTH}", 0))
    if frozen < first:
        return arm
    own = ("--model.classifier.route_from", str(frozen + 1))
    return replace(arm, arguments=(*arm.arguments, *own))


def reading_arms() -> list[Arm]:
    """List :data:`READINGS`, the default first."""
    return [
        Arm(name, _spelled({f"model.{key}": value for key, value in settings.items()}))
        for name, settings in READINGS.items()
    ]


def _depths(table: Table, num_blocks: int) -> list[Arm]:
    """List insertion points for a tower of another depth, with the paper's row if it matches."""
    by_depth = {int(row.name) / _PAPERS_BLOCKS: row for row in table.rows}
    places = [block for block in range(1, num_blocks) if block / num_blocks in by_depth]
    if num_blocks < _PAPERS_BLOCKS:
        places = list(range(1, num_blocks))
    return [
        Arm(
            f"{block} of {num_blocks}",
            _arguments(table, table.rows[0], **{_DEPTH: block}),
            table.number,
            by_depth.get(block / num_blocks),
        )
        for block in places
    ]


def _arguments(table: Table, row: Row, **changes: int) -> tuple[str, ...]:
    """Return the settings of a row as arguments of ``pks4 fit``."""
    assert row.settings is not None, "every row of an ablation has its settings"
    values: dict[str, Any] = {**row.settings, **asdict(PKS4Config(**row.settings["classifier"]))}
    return _spelled(
        {name: changes.get(name, values[name.rpartition(".")[2]]) for name in table.sets}
    )


def _spelled(settings: Mapping[str, Any]) -> tuple[str, ...]:
    arguments: list[str] = []
    for name, value in settings.items():
        arguments += (f"--{name}", value if isinstance(value, str) else json.dumps(value))
    return tuple(arguments)
