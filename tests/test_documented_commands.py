"""Every `pks4` command in the README and docs parses, with its settings and configurations."""

import argparse
import shlex
from importlib import import_module

import pytest

from pks4_lightning.__main__ import COMMANDS
from pks4_lightning.cli.arguments import CommandParser, parse_arguments
from pks4_lightning.cli.settings import resolve
from tests.conftest import TINY
from tests.helpers.documents import commands_of, documents

OF_THE_RUN = ("--ckpt_path", "--print_config")
"""Settings that Lightning's own command line adds."""


def documented_commands():
    for document in documents():
        for command in commands_of(document):
            if command.line.startswith("pks4 "):
                yield f"{command.page}: {command.words}"


def parse(line):
    """Parse a command as `pks4` does, without running it."""
    words = shlex.split(line.partition(": pks4 ")[2], comments=True)
    words = words[: words.index(">")] if ">" in words else words
    words = [str(TINY) if word == "my.yaml" else word for word in words]
    name = next((name for name in COMMANDS if name.split() == words[: len(name.split())]), None)
    assert name, f"no such command: {line}"
    parser = CommandParser(prog=f"pks4 {name}", conflict_handler="resolve", allow_abbrev=False)
    parser.set_defaults(command=name)
    import_module(f"pks4_lightning.commands.{COMMANDS[name][0]}").add_arguments(parser)
    arguments = parse_arguments(parser, words[len(name.split()) :])
    settings = [
        each
        for each in getattr(arguments, "settings", ())
        if each.partition("=")[0] not in OF_THE_RUN
    ]
    resolve(["--model.classifier.num_classes=2", *settings], looks_up=False)
    return arguments


@pytest.mark.parametrize("line", sorted(set(documented_commands())))
def test_it_parses(line):
    if "--help" in line:
        with pytest.raises(SystemExit) as shown:
            parse(line)
        assert not shown.value.code
    else:
        assert isinstance(parse(line), argparse.Namespace)


@pytest.mark.parametrize(
    "line",
    [
        "x: pks4 fits --config ssv2",
        "x: pks4 fit --config ssv22",
        "x: pks4 fit --config ssv2 --data.roots /data",
        "x: pks4 data split /my --tests 0.1",
        "x: pks4 cost --no_such_option",
    ],
)
def test_an_invalid_command_is_found(line):
    with pytest.raises((AssertionError, SystemExit, ValueError)):
        parse(line)
