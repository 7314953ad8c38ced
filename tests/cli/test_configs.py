"""The shipped configurations: their settings, their headers, and how they are found."""

import json
import re

import pytest
import yaml

from pks4_lightning.__main__ import main
from pks4_lightning.cli.configs import config_names, find_config, shipped_config
from pks4_lightning.cli.settings import resolve
from tests.conftest import ROOT

# The resolved settings, recorded when each file still stated all of them; one column per file.
SHIPPED = [
    line.split("\t") for line in (ROOT / "tests/cli/shipped_configs.tsv").read_text().splitlines()
]
NAMES = [name for name in config_names() if "/" not in name]
WHOLE = [*NAMES, *(name for name in config_names() if name.startswith("peers/"))]


def value_of(settings, dotted):
    for key in dotted.split("."):
        settings = settings[key]
    return settings if isinstance(settings, str) else json.dumps(settings)


def leaves(settings, prefix=""):
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@pytest.mark.parametrize("name", SHIPPED[0][1:])
def test_a_file_resolves_to_its_recorded_settings(name):
    settings = resolve([f"--config={name}"])
    column = SHIPPED[0].index(name)
    expected = {row[0]: row[column] for row in SHIPPED[1:]}
    assert {setting: value_of(settings, setting) for setting in expected} == expected


def test_the_table_has_every_file_and_no_other():
    assert sorted(NAMES) == SHIPPED[0][1:]


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_states_only_what_differs_from_the_defaults(name):
    defaults = dict(leaves(resolve(["--model.classifier.num_classes=1"])))
    stated = dict(leaves(yaml.safe_load(shipped_config(name).read_text())))
    # the settings of a method or network have other defaults; its builder refuses unknown ones
    assert [key for key, value in stated.items() if value == defaults.get(key, ...)] == []


@pytest.mark.parametrize("name", WHOLE)
def test_a_header_states_purpose_cost_and_command(name):
    text = shipped_config(name).read_text()
    run = yaml.safe_load(text)["trainer"]["default_root_dir"]
    assert text.splitlines()[0].endswith(".")
    for part in (
        *("\n# Paper: ", "  Ours: ", "\n# Cost: ", "\n# Hardware: ", "\n# Time: "),
        f"\n# Run: pks4 fit --config {name} --data.root ",
        f"\n# Test: pks4 test --ckpt_path {run}/checkpoints/best.ckpt",
    ):
        assert part in text


def test_a_rate_is_the_one_that_its_comment_gives_for_a_batch():
    stated = re.compile(r"base_lr: (\S+)  # (?:(\S+) )?at (\d+) (?:videos|clips) per step")
    places = [ROOT / "configs", ROOT / "pks4_lightning" / "demo" / "configs"]
    texts = [path.read_text() for place in places for path in place.rglob("*.yaml")]
    rates = [found.groups() for text in texts for found in stated.finditer(text)]
    assert len(rates) >= 13
    for base, rate, size in rates:
        assert float(base) * int(size) / 256 == pytest.approx(float(rate or base)), base


def test_the_readme_names_every_file():
    text = (ROOT / "configs" / "README.md").read_text()
    assert set(NAMES) <= set(re.findall(r"`(\w+)`", text))
    folders = {name.partition("/")[0] for name in config_names() if "/" in name}
    assert folders == set(re.findall(r"`(\w+)/`", text))


def test_a_name_is_found_from_anywhere_and_a_file_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = ROOT / "configs" / "flexible" / "all.yaml"
    for name in ("flexible/all", "flexible/all.yaml", "configs/flexible/all.yaml"):
        assert find_config(name) == shipped
    mine = tmp_path / "configs" / "ssv2.yaml"
    mine.parent.mkdir()
    mine.write_text("data: {num_frames: 11}\nmodel: {classifier: {num_classes: 3}}\n")
    assert resolve(["--config=configs/ssv2.yaml"])["data"]["num_frames"] == 11
    assert resolve(["--config", "ssv2"])["model"]["classifier"]["num_classes"] == 174
    as_text = resolve(['--config={"model": {"classifier": {"num_classes": 5}}}'])
    assert as_text["model"]["classifier"]["num_classes"] == 5


@pytest.mark.parametrize(
    ("name", "near"),
    [("ssv3", "ssv2"), ("flexible/static_token", "flexible/static_tokens"), ("../pyproject", "")],
)
@pytest.mark.parametrize("command", ["fit", "cost", "configs"])
def test_an_unknown_name_is_answered_with_the_nearest(command, name, near, capsys):
    try:
        status = main([command, name] if command == "configs" else [command, "--config", name])
    except SystemExit as end:
        status = end.code
    assert status in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"pks4: error: There is no configuration '{name}'")
    assert (f"did you mean {near}" in line) == bool(near)
    assert line.endswith("`pks4 configs` lists them.")


def test_configs_are_listed_shown_and_copied(tmp_path, capsys):
    assert main(["configs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(config_names())
    assert "ssv2 " in lines[NAMES.index("ssv2")]
    assert "8 frames, Something-Something V2" in lines[NAMES.index("ssv2")]
    assert all(line.endswith(".") for line in lines), "a purpose is a sentence on one line"
    assert main(["configs", "ssv2"]) == 0
    assert capsys.readouterr().out == (ROOT / "configs" / "ssv2.yaml").read_text()
    copy = tmp_path / "new" / "my.yaml"
    assert main(["configs", "ssv2", "--out", str(copy)]) == 0
    assert copy.read_text() == (ROOT / "configs" / "ssv2.yaml").read_text()
    assert main(["configs", "k400", "--out", str(copy)]) == 1
    assert "already exists" in capsys.readouterr().err
    assert main(["configs", "--out", str(copy)]) == 1
