"""The paper's ablations as settings: each row of the tables is derived from configs/ssv2.yaml."""

import json

import pytest

from pks4_lightning.cli.settings import resolve
from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.experiments.ablations import (
    FRAME_AVERAGING,
    TABLES,
    ablation_arms,
    reading_arms,
    with_trained_routes,
)
from pks4_lightning.experiments.model_cost import model_cost
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.paper.tables import printed_digits, printed_number, read_table
from tests.conftest import ROOT
from tests.helpers.towers import TINIER_TOWER

SSV2 = ("--config", str(ROOT / "configs" / "ssv2.yaml"))
ARMS = [arm for arm in ablation_arms(TABLES, num_blocks=12) if arm.paper]
PARTS = ("use_scanner", "use_variation", "use_correlation")
# the paper's names of the settings
SAID = {
    5: {
        "Baseline": dict.fromkeys(PARTS, False),
        "+ KS4": dict(zip(PARTS, (True, False, False), strict=True)),
        "+ KS4 + KPE (O_var)": dict(zip(PARTS, (True, True, False), strict=True)),
        "+ KS4 + KPE (O_var + O_corr)": dict.fromkeys(PARTS, True),
    },
    6: {str(block): {"insert_after": block} for block in range(5, 12)},
    7: {"Unidirectional": {"bidirectional": False}, "Bidirectional": {"bidirectional": True}},
    8: {str(number): {"context_frames": number} for number in (0, 2, 4, 6)},
    9: {
        "Baseline": {"class_route": "none"},
        "TSM (Lin et al., 2019)": {"class_route": "tsm"},
        "TokenT1D (Wu et al., 2023)": {"class_route": "token_t1d"},
        "TokenShift (Zhang et al., 2021)": {"class_route": "token_shift"},
    },
}


def ids(arm):
    return f"{arm.table}-{arm.name}"


def depths(num_blocks):
    return [
        (arm.name, arm.paper.name if arm.paper else None)
        for arm in ablation_arms([6], num_blocks=num_blocks)
    ]


@pytest.fixture(scope="module")
def plain():
    return resolve(SSV2)


@pytest.mark.parametrize("arm", ARMS, ids=ids)
def test_an_arm_has_the_settings_of_the_papers_row(arm, plain):
    given = resolve([*SSV2, *arm.arguments])
    said = SAID[arm.table][arm.name]
    assert given["model"]["classifier"] == plain["model"]["classifier"] | said
    # one clip according to the captions of Tables 6 and 8; for the others, two as in the text
    assert given["data"] == plain["data"] | {"num_clips": 1 if arm.table in (6, 8) else 2}
    for group in plain.keys() - {"model", "data"}:
        assert given[group] == plain[group]
    # the settings from which the cost tables are computed
    theirs = arm.paper.settings
    assert PKS4Config(**given["model"]["classifier"]) == PKS4Config(**theirs["classifier"])
    for name in ("num_frames", "num_clips", "num_crops"):
        assert given["data"][name] == theirs[name]


@pytest.mark.parametrize("number", TABLES)
def test_every_row_of_the_paper_is_an_arm_in_its_order(number):
    names = [arm.name for arm in ARMS if arm.table == number]
    assert names == [row.name for row in read_table(number).rows] == list(SAID[number])


@pytest.mark.parametrize("arm", [arm for arm in ARMS if "params" in arm.paper.cells], ids=ids)
def test_an_arm_has_the_printed_number_of_parameters(arm):
    cell = arm.paper.cells["params"]
    params, _ = model_cost(resolve([*SSV2, *arm.arguments]))
    assert round(params / 1e6, printed_digits(cell)) == printed_number(cell)


def test_table_5_has_an_extra_row_without_any_exchange_between_frames():
    (arm,) = [arm for arm in ablation_arms(TABLES, num_blocks=12) if arm.paper is None]
    assert (arm.table, arm.arguments) == (5, FRAME_AVERAGING)
    classifier = resolve([*SSV2, *arm.arguments])["model"]["classifier"]
    assert classifier["class_route"] == "none"
    assert not any(classifier[part] for part in PARTS)


def test_a_deeper_tower_is_cut_at_the_papers_depths():
    assert depths(24) == [(f"{2 * block} of 24", str(block)) for block in range(5, 12)]


def test_a_shallower_tower_is_cut_after_every_block_but_its_last():
    assert depths(4) == [("1 of 4", None), ("2 of 4", "6"), ("3 of 4", "9")]
    assert depths(2) == [("1 of 2", "6")]
    (only,) = ablation_arms([6], num_blocks=2)
    arguments = ("--model.classifier.insert_after", "1", "--data.num_clips", "1")
    assert only.arguments == arguments


def test_every_row_can_be_trained_with_frozen_blocks():
    tower = {
        "model_type": "vit",
        **{name: size for name, size in TINIER_TOWER.items() if name != "projection_dim"},
        "num_hidden_layers": 12,
    }
    base = (
        *("--config", str(ROOT / "configs" / "egogestar.yaml")),
        *("--model.classifier.backbone_config", json.dumps(tower)),
    )
    settings = resolve(base)
    assert settings["model"]["recipe"]["trains"] == "after_insertion"
    first_routes = []
    for arm in with_trained_routes(ablation_arms(TABLES, num_blocks=12), settings):
        classifier = resolve([*base, *arm.arguments])["model"]["classifier"]
        meta_classifier(PKS4Config(**classifier)).freeze("after_insertion")
        if arm.table == 6:
            first_routes.append(classifier["route_from"])
    assert first_routes == [9, 9, 9, 9, 10, 11, 12]
    assert with_trained_routes(ARMS, resolve(SSV2)) == ARMS  # nothing is frozen


def test_a_table_is_planned_once():
    twice = ablation_arms([7, 7], num_blocks=4)
    assert [arm.name for arm in twice] == ["Unidirectional", "Bidirectional"]


@pytest.mark.parametrize(
    ("table", "message"), [(3, "not an ablation"), (10, "has no table 10"), (0, "has no table 0")]
)
def test_other_tables_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        ablation_arms([table], num_blocks=12)


def test_a_reading_differs_from_the_default_in_its_own_fields_alone(plain):
    """Each arm changes its own fields only, and its config is valid."""
    default, *others = reading_arms()
    assert default.arguments == ()
    assert len({arm.arguments for arm in others}) == len(others)
    for arm in others:
        given = resolve([*SSV2, *arm.arguments])
        assert {name for name in plain if given[name] != plain[name]} == {"model"}
        changed = {
            f"--model.{group}.{name}"
            for group in ("classifier", "recipe")
            for name, value in given["model"][group].items()
            if value != plain["model"][group][name]
        }
        assert changed == set(arm.arguments[::2])
        PKS4Config(**given["model"]["classifier"])


def test_readings_have_the_papers_number_of_parameters_and_controls_are_near_it():
    exact = {
        arm.name: model_cost(resolve([*SSV2, *arm.arguments]))[0]
        for arm in reading_arms()
        if "context" not in arm.name and "TSM" not in arm.name
    }
    full, scanner = 91_695_086, 3_772_416
    assert exact.pop("Priors without a scan") == full - scanner
    for control in ("GRU in the scanner's place", "Attention in the scanner's place"):
        assert abs(exact.pop(control) - full) < 0.01 * scanner
    assert set(exact.values()) == {full}
