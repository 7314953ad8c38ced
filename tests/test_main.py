"""``pks4``: finding a command, its arguments, its exit status."""

import os
import subprocess
import sys
from importlib import import_module
from types import SimpleNamespace

import pytest

from pks4_lightning.__main__ import COMMANDS, main
from pks4_lightning.cli.arguments import CommandParser, parse_arguments, take_settings
from pks4_lightning.cli.errors import ArgumentsError

MOVING = {"ablate", "demo"}


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - MOVING))
def test_every_command_helps_under_its_own_name(name, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*name.split(), "--help"])
    assert caught.value.code == 0
    assert f"usage: pks4 {name.split()[0]}" in capsys.readouterr().out.splitlines()[0]


def test_a_group_lists_its_commands(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["data", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: pks4 data ")
    assert all(f"\n    {word} " in text for word in ("index", "check", "show"))
    assert "retrieve" not in text


@pytest.mark.parametrize(
    "given", [[], ["tset"], ["data"], ["data", "idx"], ["rescore"], ["rescore", "x", "--viws", "1"]]
)
def test_wrong_arguments_are_one_sentence_and_status_2(given, capsys):
    with pytest.raises(SystemExit) as caught:
        main(given)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pks4: error: ")


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "pks4: interrupted; run the same command again to"),
        (ArgumentsError("Two of one."), 2, "pks4: error: Two of one."),
        (PermissionError(13, "Permission denied", "/x"), 1, "pks4: error: Permission denied: /x."),
        (None, 0, ""),
    ],
    ids=["interrupted", "arguments", "disk", "well"],
)
def test_how_a_command_ends(monkeypatch, capsys, raised, status, said):
    def run(arguments):
        if raised is not None:
            raise raised

    command = SimpleNamespace(add_arguments=lambda _: None, run=run)
    monkeypatch.setitem(COMMANDS, "ending", ("ending", "end"))
    monkeypatch.setitem(sys.modules, "pks4_lightning.commands.ending", command)
    assert main(["ending"]) == status
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize(
    ("name", "again"), [("predict", " with --resume"), ("features", " with --resume"), ("fit", "")]
)
def test_an_interrupted_command_says_how_it_continues(monkeypatch, capsys, name, again):
    module = import_module(f"pks4_lightning.commands.{COMMANDS[name][0]}")

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run", interrupt)
    assert main([name, "--ckpt_path", "x.ckpt", *(["y.mp4"] if again else [])]) == 130
    assert f"run the same command again{again} to continue" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given",
    [["stream", "--ckpt_path=x", "--source=y", "--out="], ["demo-data", "--out", ""]],
    ids=lambda given: given[0],
)
def test_an_empty_path_is_not_the_current_folder(given, capsys):
    with pytest.raises(SystemExit):
        main(given)
    assert "argument --out: the path is empty; `pks4" in capsys.readouterr().err


def test_a_command_takes_its_own_arguments_from_among_settings():
    parser = CommandParser(prog="pks4 x", allow_abbrev=False)
    parser.add_argument("root", nargs="?")
    parser.add_argument("--out")
    take_settings(parser)
    given = ["--config", "a.yaml", "here", "--data.predict", "-0IErS.webm", "--out", "o"]
    arguments = parse_arguments(parser, [*given, "--data.seed=3"])
    assert (arguments.root, arguments.out) == ("here", "o")
    assert arguments.settings == [
        *("--config=a.yaml", "--data.predict=-0IErS.webm", "--data.seed=3")
    ]


@pytest.mark.parametrize("given", [["-c", "a.yaml"], ["-c=a.yaml"], ["--config", "a.yaml"]])
def test_the_short_form_of_config_is_the_same_setting(given):
    parser = CommandParser(prog="pks4 x", allow_abbrev=False)
    take_settings(parser)
    assert parse_arguments(parser, given).settings == ["--config=a.yaml"]


def test_words_after_two_dashes_are_no_options():
    parser = CommandParser(prog="pks4 x", allow_abbrev=False)
    parser.add_argument("videos", nargs="*")
    parser.add_argument("--out")
    take_settings(parser)
    words = ["-dash.mp4", "--out", "-c", "--data.seed=3", "--"]
    arguments = parse_arguments(parser, ["--data.seed", "--", *words])
    assert arguments.videos == words
    assert (arguments.out, arguments.settings) == (None, ["--data.seed"])


@pytest.mark.parametrize("given", [["configs"], ["--help"]])
def test_a_reader_that_leaves_ends_a_command_quietly(given):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "pks4_lightning", *given]
    with os.fdopen(writing, "w") as output:
        env = {**os.environ, "PYTHONUNBUFFERED": ""}  # an error of the buffer comes at the exit
        run = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, env=env)
    assert (run.returncode, run.stderr) == (141, "")


def test_commands_have_two_functions_and_no_main():
    for module, _ in COMMANDS.values():
        if module in MOVING:
            continue
        command = import_module(f"pks4_lightning.commands.{module}")
        assert set(command.__all__) >= {"add_arguments", "run"}
        assert not hasattr(command, "main")


def test_a_first_help_needs_no_heavy_imports():
    code = (
        "import sys; from pks4_lightning.__main__ import main\n"
        "for arguments in (['--help'], ['data', '--help'], ['fit', '--help'], ['predict', '-h']):\n"
        "    try: main(arguments)\n"
        "    except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'lightning', 'transformers', 'jsonargparse', 'av', 'numpy', 'yaml'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pks4 predict --help all" in run.stdout


def test_module_is_the_command():
    run = subprocess.run(
        [sys.executable, "-m", "pks4_lightning", "--version"], capture_output=True, text=True
    )
    assert run.returncode == 0
    assert run.stdout.startswith("pks4_lightning ")


def test_windows_users_get_advice(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["fit", "--config", "ssv2"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "on Windows, run it in WSL" in line
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
