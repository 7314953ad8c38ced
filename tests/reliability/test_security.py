"""Malicious checkpoints, configurations and backbone weights run no code."""

import ast
import json
import os
import sys
import time
from collections import OrderedDict
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from pks4_lightning.__main__ import main
from pks4_lightning.cli.safe_yaml import load_config
from pks4_lightning.data.annotations.entry import read_json
from pks4_lightning.models.towers.weights import build_backbone
from pks4_lightning.training.checkpoints.reading import read_checkpoint
from tests.conftest import ROOT
from tests.helpers.towers import TINY_TOWER
from tests.reliability.hostile import (
    MODULE,
    Calls,
    PeakMemory,
    hostile_checkpoints,
    plant_module,
)

PAYLOADS = {
    f"{MODULE}.Canary": {},
    "os.system": {"command": "touch MARK"},
    "subprocess.Popen": {"args": ["touch", "MARK"]},
    "functools.partial": {"func": "os.system", "args": ["touch MARK"]},
    "builtins.eval": {"source": "__import__('os').system('touch MARK')"},
    "jsonargparse.set_parsing_settings": {"import_path_allowlist": [MODULE]},
}
TINY_CLIP = {**TINY_TOWER, "num_hidden_layers": 1}
CALLBACK = "lightning.pytorch.callbacks.LambdaCallback"


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """A file that must not appear; the module that would write it is importable."""
    monkeypatch.syspath_prepend(tmp_path)
    # this variable makes torch run code in checkpoints
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = plant_module(tmp_path)
    yield path
    assert not path.exists()
    assert MODULE not in sys.modules


def settings_with(name, mark):
    """Return settings that name a class or a function, at each possible place."""
    filled = json.loads(json.dumps(PAYLOADS[name]).replace("MARK", str(mark)))
    harm = {"class_path": name, "init_args": filled}
    return {
        "callback": {"trainer": {"callbacks": [harm]}},
        "function": {
            "trainer": {
                "callbacks": [{"class_path": CALLBACK, "init_args": {"on_fit_start": name}}]
            }
        },
        "sampler": {"data": {"train_sampler": harm}},
        "nested": {
            "trainer": {
                "plugins": [
                    {
                        "class_path": "lightning.pytorch.plugins.AsyncCheckpointIO",
                        "init_args": {"checkpoint_io": harm},
                    }
                ]
            }
        },
    }


def refused(args, capsys):
    """Run a command that must fail; return its error message of one sentence."""
    try:
        status = main(args)
    except SystemExit as end:
        status = end.code
    error = capsys.readouterr().err
    assert status in (1, 2), error
    sentence = error.splitlines()[-1]
    assert sentence.startswith("pks4: error: "), error
    assert "Traceback" not in error
    return sentence


def from_checkpoint(settings, args, folder, good, monkeypatch):
    checkpoint = torch.load(good, weights_only=True)
    for part, changes in settings.items():
        checkpoint["config"][part] = {**checkpoint["config"][part], **changes}
    torch.save(checkpoint, folder / "settings.ckpt")
    return ["fit", "--ckpt_path", str(folder / "settings.ckpt")]


def from_config(settings, args, folder, good, monkeypatch):
    (folder / "hostile.yaml").write_text(json.dumps(settings))
    return ["fit", *args, "--config", str(folder / "hostile.yaml")]


def from_command_line(settings, args, folder, good, monkeypatch):
    options = [
        f"--{part}.{key}={json.dumps(value)}"
        for part, values in settings.items()
        for key, value in values.items()
    ]
    return ["fit", *args, *options]


def from_environment(settings, args, folder, good, monkeypatch):
    monkeypatch.setenv("JSONARGPARSE_DEFAULT_ENV", "true")  # off by default
    for part, values in settings.items():
        for key, value in values.items():
            monkeypatch.setenv(f"PL_FIT__{part}__{key}".upper(), json.dumps(value))
    return ["fit", *args]


ROUTES = [from_checkpoint, from_config, from_command_line, from_environment]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__)
def test_settings_run_nothing(
    route, tiny_args, trained, mark, tmp_path, monkeypatch, capsys, times, record
):
    good = trained / "checkpoints" / "last.ckpt"
    args = [*tiny_args, f"--trainer.default_root_dir={tmp_path / 'run'}"]
    count = 0
    for turn, name in enumerate(PAYLOADS, start=ROUTES.index(route)):
        places = list(settings_with(name, mark).items())
        # by default one place per test, in turn
        for place, settings in [*places, *places][turn % 4 :][: times(1, full=4)]:
            with monkeypatch.context() as patched:
                sentence = refused(route(settings, args, tmp_path, good, patched), capsys)
            assert f"settings may not name {name}," in sentence, place
            assert not mark.exists()
            count += 1
    assert not (tmp_path / "run").exists()
    record(f"hostile settings {route.__name__}", payloads=len(PAYLOADS), refused=count, marks=0)


def test_the_same_module_runs_once_the_environment_lets_it_in(
    launcher, tiny_args, tmp_path, monkeypatch
):
    mark = plant_module(tmp_path)
    process = launcher.start(
        "fit",
        *tiny_args,
        "--trainer.fast_dev_run=true",
        f"--trainer.callbacks={MODULE}.Canary",
        env={"PKS4_ALLOW_IMPORTS": MODULE},
        prepare="tests.reliability.hostile:let_modules_in",
        folder=str(tmp_path),
    )
    assert process.wait(timeout=220) == 0, process.text()
    assert mark.exists()


@pytest.mark.parametrize("value", ["jsonargparse", "jsonargparse.x", "*", "os.system()", "a b"])
def test_the_environment_can_let_in_only_named_modules(value, tiny_args, monkeypatch, capsys):
    monkeypatch.setenv("PKS4_ALLOW_IMPORTS", value)
    assert "names of your own modules" in refused(["fit", *tiny_args], capsys)


@pytest.fixture(scope="module")
def hostile(trained, tmp_path_factory):
    """The 12 hostile checkpoints, and the mark that none may leave."""
    folder = tmp_path_factory.mktemp("hostile")
    mark = plant_module(folder)
    return hostile_checkpoints(trained / "checkpoints" / "last.ckpt", folder, mark), mark


READABLE = ("instantiator", "class_path")  # detected only by the parser


def test_hostile_checkpoints_run_nothing(
    hostile, tiny_args, trained, monkeypatch, tmp_path, capsys, record
):
    files, mark = hostile
    assert len(files) == 12
    monkeypatch.syspath_prepend(mark.parent)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    monkeypatch.chdir(tmp_path)
    read_checkpoint(trained / "checkpoints" / "last.ckpt")  # warm-up of allocations
    worst = {"processor seconds": 0.0, "megabytes": 0.0}
    for name, path in files.items():
        for command in ("read", "test", "fit"):
            start = time.process_time()  # the machine may be busy
            with PeakMemory() as memory:
                if command != "read":
                    sentence = refused([command, "--ckpt_path", str(path)], capsys)
                elif name not in READABLE:
                    with pytest.raises((ValueError, FileNotFoundError)) as error:
                        read_checkpoint(path)
                    sentence = str(error.value)
            seconds = time.process_time() - start
            named = name not in READABLE
            assert (path.name in sentence) == named, (name, sentence)
            assert "\n" not in sentence
            assert seconds < 5, (name, command)
            assert memory.growth < 200, (name, command)
            worst["processor seconds"] = max(worst["processor seconds"], round(seconds, 2))
            worst["megabytes"] = max(worst["megabytes"], round(memory.growth))
            assert not mark.exists(), (name, command)
            assert MODULE not in sys.modules, (name, command)
    assert not list(tmp_path.iterdir())
    record("hostile checkpoints run nothing", files=12, commands=3, marks=0, **worst)


def test_a_configuration_cannot_have_a_hostile_checkpoint_run(
    hostile, tiny_args, tmp_path, monkeypatch, capsys
):
    files, mark = hostile
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    config = tmp_path / "hostile.yaml"
    folder = f"--trainer.default_root_dir={tmp_path / 'run'}"
    for settings, reason in (
        ({"ckpt_path": str(files["reduce"])}, "reduce.ckpt is refused: it is damaged, or holds"),
        ({"weights_only": False}, "'weights_only'"),
    ):
        config.write_text(json.dumps(settings))
        assert reason in refused(["fit", *tiny_args, folder, "--config", str(config)], capsys)
    assert not mark.exists()


def nested_lists(depth):
    value = "x"
    for _ in range(depth):
        value = [value] * 10
    return value


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"lr": torch.zeros(1)}, "there is a Tensor"),
        ({"lr": OrderedDict(a=1)}, "there is a OrderedDict"),
        ({"lr": b"bytes"}, "there is a bytes"),
        ({"lr": nested_lists(9)}, "there are more than 100000 values"),
    ],
    ids=["tensor", "other mapping", "bytes", "a billion"],
)
@pytest.mark.parametrize("part", ["hyper_parameters", "config"])
def test_a_checkpoints_settings_are_plain_values(part, settings, reason, tmp_path):
    path = tmp_path / "a.ckpt"
    checkpoint = {"hyper_parameters": {"classifier": {}}, "config": {}}
    checkpoint[part].update(settings)
    torch.save(checkpoint, path)
    with pytest.raises(
        ValueError,
        match=f"a.ckpt is refused because its {part} may contain plain values only: {reason}",
    ):
        read_checkpoint(path)


LETTERS = "abcdefghij"
TENFOLD = [(new, ", ".join([f"*{old}"] * 10)) for old, new in pairwise(LETTERS)]
BOMBS = {  # and words of the error message
    "call": ("a: !!python/object/apply:os.system ['touch MARK']", "could not determine"),
    "object": (f"a: !!python/object/new:{MODULE}.Canary []", "could not determine"),
    "name": (f"a: !!python/name:{MODULE}.Canary", "could not determine"),
    "laughs": (
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{new}: &{new} [{ten}]\n" for new, ten in TENFOLD),
        "expand to more than 100000 values",
    ),
    "merges": (
        "a: &a {k: v}\n" + "".join(f"{new}: &{new} {{<<: [{ten}]}}\n" for new, ten in TENFOLD),
        "expand to more than 100000 values",
    ),
    "itself": ("a: &a [*a]", "refers to no anchor defined before it"),
    "deep list": ("a: " + "[" * 100_000, "nested deeper than 100 levels"),
    "deep mapping": (
        "".join(f"{' ' * level}a:\n" for level in range(1000)),
        "nested deeper than 100 levels",
    ),
    "large": ("# " + "x" * 2_000_000, "larger than 1000 KB"),
}


def test_yaml_bombs_are_refused(mark, tmp_path, capsys, record):
    path = tmp_path / "bomb.yaml"
    refused(["fit", "--config", "nowhere.yaml"], capsys)  # warm-up: imports everything
    worst = {"processor seconds": 0.0, "megabytes": 0.0}
    for name, (text, reason) in BOMBS.items():
        path.write_text(text.replace("MARK", str(mark)))
        for command in (["fit"], ["data", "check"]):
            start = time.process_time()  # the machine may be busy
            with PeakMemory() as memory:
                sentence = refused([*command, "--config", str(path)], capsys)
            seconds = time.process_time() - start
            assert reason in sentence, (name, sentence)
            assert seconds < 2, name
            assert memory.growth < 100, name
            worst["processor seconds"] = max(worst["processor seconds"], round(seconds, 2))
            worst["megabytes"] = max(worst["megabytes"], round(memory.growth))
    record("hostile YAML is refused", files=len(BOMBS), commands=2, marks=0, **worst)


def test_ordinary_aliases_are_accepted(tmp_path):
    path = tmp_path / "honest.yaml"
    path.write_text("a: &few [1, 2]\nb: {c: *few}\nd: {<<: {e: 3}, f: *few}")
    assert load_config(path) == {"a": [1, 2], "b": {"c": [1, 2]}, "d": {"e": 3, "f": [1, 2]}}


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "[" + "9" * 5000 + "]"])
def test_json_bombs_are_refused(text, tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(
        ValueError,
        match=r"labels\.json' cannot be read: it is nested too deeply, or holds a number",
    ):
        read_json(path)


def test_hostile_backbone_weights_run_nothing(mark, tmp_path, capsys, tiny_args):
    folder = tmp_path / "backbone"
    build_backbone(TINY_CLIP, weights=None).save_pretrained(folder)
    honest = (folder / "model.safetensors").rename(tmp_path / "model.safetensors")
    torch.save(load_file(honest), folder / "pytorch_model.bin")
    build_backbone(TINY_CLIP, weights=str(folder))  # this format is allowed for pure tensors
    torch.save(
        {**load_file(honest), "bias": Calls(os.system, f"touch {mark}")},
        folder / "pytorch_model.bin",
    )
    with pytest.raises(
        ValueError, match="backbone are refused: the file is damaged, or holds more"
    ):
        build_backbone(TINY_CLIP, weights=str(folder))
    (folder / "pytorch_model.bin").unlink()
    (folder / "model.safetensors").write_bytes(b"\xff" * 8 + honest.read_bytes()[8:])
    with pytest.raises(ValueError, match="backbone are refused: the file is damaged"):
        build_backbone(TINY_CLIP, weights=str(folder))


def test_nothing_in_the_package_unpickles_evaluates_or_opens_a_shell():
    calls = {"eval", "exec", "compile", "__import__"}
    attributes = {
        "os.system", "os.popen", "torch.hub", "yaml.load", "yaml.full_load", "yaml.unsafe_load",
        "pickle.load", "pickle.loads", "pickle.Unpickler", "joblib.load", "marshal.loads",
    }  # fmt: skip
    found = []
    for path in sorted((ROOT / "pks4_lightning").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Attribute) and ast.unparse(node) in attributes:
                found.append(f"{place} {ast.unparse(node)}")
            if isinstance(node, ast.Call):
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                name = ast.unparse(node.func)
                if name in calls or given.get("shell") == "True":
                    found.append(f"{place} {name}")
                if name == "torch.load" and given.get("weights_only") != "True":
                    found.append(f"{place} torch.load without weights_only=True")
                if name.endswith("from_pretrained") and given.get("weights_only") != "True":
                    found.append(f"{place} from_pretrained without weights_only=True")
                if name == "np.load" and given.get("allow_pickle", "False") != "False":
                    found.append(f"{place} np.load with allow_pickle")
                if given.get("trust_remote_code", "False") != "False":
                    found.append(f"{place} trust_remote_code")
    assert found == []
