"""Numbers out of range are refused by the parser, in one sentence with the option's name."""

import argparse
from importlib import import_module

import pytest

from pks4_lightning.__main__ import COMMANDS, main
from pks4_lightning.cli.arguments import RangeAction

RANGES = {
    "data index": ["--jobs 0", "--jobs -1", "--timeout 0", "--timeout nan", "--timeout inf"],
    "data check": ["--clips_per_second -3", "--clips_per_second nan", "--clips_per_second inf"],
    "data show": ["--num_shown 0", "--epoch -1"],
    "data groups": ["--num_groups 0"],
    "demo": ["--jobs 0", "--epochs 0", "--num_train 1", "--num_val 1", "--num_test 0"],
    "demo-data": ["--num_train -1", "--seed -1", "--jobs -1"],
    "ablate": ["--jobs 0", "--folds 1", "--rates 0.1 nan", "--seeds 0 -1"],
    "compare": ["--jobs 0", "--folds 0"],
    "evidence": ["--folds 1"],
    "cost": ["--videos 0"],
    "stretch": ["--budget nan"],
}
CHECKED_LATER = {
    "app": {"--port", "--window", "--max_megabytes", "--time_limit"},
    "stream": {"--rate", "--every", "--num_best"},
    "features": {"--window", "--stride"},
    "data split": {"--val", "--test", "--seed"},
    "rescore": {"--views"},
    "ablate": {"--table"},
    "evidence": {"--table"},
    "cost": {"--table"},
}
"""Options that are refused elsewhere: their range is no interval, or depends on what is read."""

TRAINER = {"fit", "validate", "test", "predict"}
"""Their settings are refused by what they are settings of."""


@pytest.mark.parametrize(
    ("command", "wrong"),
    [(command, wrong) for command, several in RANGES.items() for wrong in several],
)
def test_a_number_out_of_range_is_one_sentence(tmp_path, monkeypatch, capsys, command, wrong):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main([*command.split(), *wrong.split()])
    assert caught.value.code == 2
    option, *values = wrong.split()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"pks4: error: {option} is {values[-1]}; it must be ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - TRAINER))
def test_every_number_has_a_range(command):
    parser = argparse.ArgumentParser()
    parser.set_defaults(command=command)
    import_module(f"pks4_lightning.commands.{COMMANDS[command][0]}").add_arguments(parser)
    unchecked = {
        action.option_strings[0]
        for action in parser._actions
        if action.type in (int, float) and not isinstance(action, RangeAction)
    }
    assert unchecked == CHECKED_LATER.get(command, set())
