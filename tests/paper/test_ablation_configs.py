"""The files in configs/ablations: each makes its row of the paper out of configs/ssv2.yaml."""

import json

import pytest
import torch

from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.experiments.model_cost import model_cost
from pks4_lightning.experiments.settings import read_settings
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.paper.rows import OVERRIDES, TABLES, plan_rows
from pks4_lightning.paper.tables import printed_digits, printed_number, read_table
from tests.conftest import ROOT

FOLDER = ROOT / "configs" / "ablations"
SSV2 = ("--config", str(ROOT / "configs" / "ssv2.yaml"))
ROWS = plan_rows(TABLES, num_blocks=12, folder=FOLDER)
PAPERS = [row for row in ROWS if row.paper]


def ids(row):
    return f"{row.table}-{row.name}"


@pytest.mark.parametrize("row", PAPERS, ids=ids)
def test_a_file_makes_the_papers_row(row):
    settings = read_settings([*SSV2, *row.arguments])
    theirs = row.paper.settings
    assert PKS4Config(**settings["model"]["classifier"]) == PKS4Config(**theirs["classifier"])
    for name in ("num_frames", "num_clips", "num_crops"):
        assert settings["data"][name] == theirs[name]


@pytest.mark.parametrize("number", TABLES)
def test_every_row_of_the_paper_is_planned_in_its_order(number):
    names = [row.name for row in PAPERS if row.table == number]
    assert names == [row.name for row in read_table(number).rows]


def test_every_file_belongs_to_a_row():
    used = {name for names in OVERRIDES.values() for name in names} | {"frame_averaging"}
    assert used == {path.stem for path in FOLDER.glob("*.yaml")}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_file_says_what_it_is_and_how_to_run_it(path):
    header = path.read_text().split("model:")[0]
    assert f"--config configs/ablations/{path.name}" in header
    for number, names in OVERRIDES.items():
        rows = read_table(number).rows
        if path.stem in names and path.stem != "full":
            name = rows[names.index(path.stem)].name
            assert f'Table {number}, row "{name}"' in header


def test_a_row_without_the_paper_has_no_exchange_between_frames():
    (row,) = [row for row in ROWS if row.paper is None]
    classifier = PKS4Config(**read_settings([*SSV2, *row.arguments])["model"]["classifier"])
    assert classifier.class_route == "none"
    assert not classifier.use_scanner


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_command_line_stacks_a_file_as_the_plan_does(path, tmp_path):
    tiny = {"hidden_size": 16, "intermediate_size": 32, "projection_dim": 12}
    tiny |= {"num_attention_heads": 2, "num_hidden_layers": 12, "image_size": 32, "patch_size": 8}
    arguments = [
        *SSV2,
        *("--config", str(path)),
        "--model.classifier.pretrained=false",
        f"--model.classifier.backbone_config={json.dumps(tiny)}",
        f"--trainer.default_root_dir={tmp_path}",
        "--trainer.precision=32",
    ]
    cli = run_cli(arguments, run=False)
    planned = read_settings(arguments)
    assert cli.model.config == PKS4Config(**planned["model"]["classifier"])
    assert cli.config.data.num_clips == planned["data"]["num_clips"]
    cli.model.trainer = cli.trainer
    cli.model.configure_model()
    assert cli.model(torch.zeros(1, 3, 4, 32, 32)).shape == (1, 174)


@pytest.mark.parametrize("row", [row for row in PAPERS if "params" in row.paper.cells], ids=ids)
def test_a_row_has_the_printed_number_of_parameters(row):
    cell = row.paper.cells["params"]
    params, _ = model_cost(read_settings([*SSV2, *row.arguments]))
    assert round(params / 1e6, printed_digits(cell)) == printed_number(cell)
