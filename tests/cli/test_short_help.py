import functools
from typing import Literal, get_args, get_origin

import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.cli.short_help import FIRST, short_help
from pks4_lightning.training.learning.recipe import Recipe


def shown(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main([*arguments])
    assert caught.value.code == 0
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def parsers(trained):
    """Return the parser of each command; a command builds only its own."""
    checkpoint = f"--ckpt_path={trained / 'checkpoints' / 'last.ckpt'}"
    return functools.cache(lambda name: run_cli([name, checkpoint], start=False)._parser(name))


@pytest.mark.parametrize("command", FIRST)
def test_names_and_defaults_are_those_of_the_parser(command, parsers):
    parser = parsers(command)
    defaults = parser.get_defaults()
    for row in FIRST[command]:
        assert f"--{row.name}" in parser._option_string_actions
        assert defaults[row.name] == row.default, row.name


@pytest.mark.parametrize("command", FIRST)
def test_a_row_names_every_choice_or_says_that_there_are_more(command, parsers):
    actions = parsers(command)._option_string_actions
    for row in FIRST[command]:
        kind = actions[f"--{row.name}"]._typehint
        if get_origin(kind) is Literal and "…" not in row.meaning:
            assert set(get_args(kind)) == set(row.meaning.split(", ")), row.name


def test_the_short_and_the_long_help_scale_the_learning_rate_alike():
    (row,) = (row for row in FIRST["fit"] if row.name == "model.recipe.base_lr")
    assert "at 256 videos per" in row.meaning
    assert "at 256 videos per" in Recipe.__doc__


@pytest.mark.parametrize("command", FIRST)
def test_the_help_fits_a_screen_and_says_how_to_see_the_rest(command, capsys):
    lines = shown(capsys, command, "--help").splitlines()
    assert lines[0].startswith(f"usage: pks4 {command} ")
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100
    assert f"pks4 {command} --help all" in short_help(command)


def test_help_of_a_group_of_one_setting_and_of_all(capsys):
    group = shown(capsys, "fit", "--help", "data.augmentation")
    assert "--data.augmentation.scale" in group
    assert "--data.root" not in group
    one = shown(capsys, "predict", "--help", "trainer.max_epochs")
    assert "--trainer.max_epochs" in one
    assert "--trainer.devices" not in one
    everything = shown(capsys, "test", "--help", "all")
    assert all(f"--{name}" in everything for name in ("watchdog.timeout", "ckpt_path", "data.fold"))


def test_an_unknown_group_is_named_with_the_nearest_one(capsys):
    assert main(["fit", "--help", "modle"]) == 2
    assert capsys.readouterr().err == (
        "pks4: error: There are no settings modle; did you mean model?\n"
    )
