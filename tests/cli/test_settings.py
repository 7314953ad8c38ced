import json

import pytest
import torch

from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.cli.settings import data_module, resolve
from tests.conftest import TINY


def test_settings_are_those_that_a_training_runs_with(tiny_args, tmp_path):
    arguments = [*tiny_args, "--data.num_clips", "3", f"--trainer.default_root_dir={tmp_path}"]
    cli = run_cli(["fit", *arguments], start=False)
    parser = cli._parser("fit")
    ran = json.loads(parser.dump(cli.config["fit"], format="json", skip_unset=False))
    settings = resolve(arguments)
    assert settings["data"]["num_clips"] == 3
    assert settings["model"]["classifier"]["class_route"] == "token_t1d", "a default"
    assert settings == {key: ran[key] for key in settings}
    assert set(ran) - set(settings) == {"ckpt_path", "allow_changes"}


def test_later_arguments_override_earlier_ones(tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text("data:\n  num_frames: 6\n  batch_size: 2\n")
    first = resolve(["--config", str(TINY), "--data.batch_size=3", "--config", str(other)])
    last = resolve(["--config", str(TINY), "--config", str(other), "--data.batch_size=3"])
    assert (first["data"]["num_frames"], first["data"]["batch_size"]) == (6, 2)
    assert (last["data"]["num_frames"], last["data"]["batch_size"]) == (6, 3)


def test_a_checkpoint_brings_its_settings(trained, tiny_args):
    checkpoint = str(trained / "checkpoints" / "last.ckpt")
    changed = resolve(["--data.num_clips=5"], checkpoint=checkpoint)
    assert changed["data"].pop("num_clips") == 5
    same = resolve([*tiny_args, f"--trainer.default_root_dir={trained}"])
    assert same["data"].pop("num_clips") == 1
    # the classifier differs: the checkpoint's contains the resolved architecture
    assert changed.pop("model")["recipe"] == same.pop("model")["recipe"]
    assert changed == same


def test_resolving_draws_nothing_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = torch.get_rng_state()
    resolve(["--config", str(TINY)])
    assert torch.equal(torch.get_rng_state(), before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data.num_frams=3"], "unrecognized arguments: --data.num_frams=3; did you mean"),
        (["--data.num_frames=three"], "data.num_frames is three; it must be a whole number."),
        (["--config", "nothing.yaml"], "nothing.yaml"),
        ([], "model.classifier.num_classes; a configuration sets them"),
    ],
)
def test_parse_errors_are_one_sentence(arguments, words):
    with pytest.raises(ValueError, match=r"^[^\n]*[.?]$") as caught:
        resolve(arguments)
    assert words in str(caught.value)


def test_a_data_module_can_be_had_alone(tiny_args):
    data = data_module(resolve([*tiny_args, "--data.flexible.frame_sizes=[32, 48]"]))
    data.setup("fit")
    assert len(data.videos("train")) == 16
    assert data.loaders.augmentation.flip_label_pairs == [(0, 1)]
    assert data.scales.flexible.frame_sizes == [32, 48]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; it should contain settings such as `data:`."),
        ("# nothing yet\n", "is empty"),
        ("[1, 2]", "contains a list, not settings."),
        ("hello", "contains a str, not settings."),
        ("data:\n", "has nothing below 'data'; leave the line out."),
        ("model: [\n", "cannot be read: while parsing"),
    ],
)
def test_a_file_that_holds_no_settings_is_named(text, words, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"'{path}' ") as caught:
        resolve(["--config", str(TINY), "--config", str(path)])
    assert words in str(caught.value)


def test_the_configuration_that_a_run_leaves_is_one(trained):
    settings = resolve(["--config", str(trained / "config.yaml")])
    assert settings["trainer"]["default_root_dir"] == str(trained)
