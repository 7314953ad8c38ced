"""What arguments of a training come to, and which of them count as other settings."""

import pytest

from pks4_lightning.experiments.settings import config_hash, read_settings, training_hash

BASE = """\
model:
  classifier:
    num_classes: 8
    insert_after: 2
data:
  root: here
  num_clips: 2
"""


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.yaml"
    path.write_text(BASE)
    return ["--config", str(path)]


def hashes(*arguments):
    settings = read_settings(arguments)
    return config_hash(settings), training_hash(settings)


def test_what_stands_further_to_the_right_wins(base, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text("model: {classifier: {insert_after: 3, bidirectional: true}}\n")
    settings = read_settings([*base, "--config", str(other), "--data.num_clips=4", "--a.b", "[1]"])
    classifier = settings["model"]["classifier"]
    assert classifier["num_classes"] == 8
    assert classifier["insert_after"] == 3
    assert classifier["bidirectional"] is True
    assert settings["data"]["root"] == "here"
    assert settings["data"]["num_clips"] == 4
    assert settings["a"] == {"b": [1]}


def test_the_hash_of_given_settings_never_changes(base):
    assert hashes(*base) == ("cf80bda4c2c1", "842f977eb4a5")


def test_a_default_that_is_written_out_is_the_same_setting(base):
    assert hashes(*base) == hashes(*base, "--model.classifier.bidirectional", "false")
    assert hashes(*base) == hashes(*base, "--data.num_frames", "8")


@pytest.mark.parametrize(
    "argument", ["--data.root=there", "--seed_everything=3", "--trainer.default_root_dir=runs/x"]
)
def test_places_and_seeds_are_no_settings(base, argument):
    assert hashes(*base) == hashes(*base, argument)


def test_views_are_a_setting_of_the_test_alone(base):
    (config, training), (other_config, other_training) = (
        hashes(*base),
        hashes(*base, "--data.num_clips=1"),
    )
    assert config != other_config
    assert training == other_training


def test_another_setting_is_another_hash(base):
    one, other = hashes(*base), hashes(*base, "--model.classifier.context_frames=2")
    assert not set(one) & set(other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "nowhere.yaml"], "no configuration nowhere.yaml"),
        (["--a", "--b"], "--a needs a value"),
        (["--a"], "--a needs a value"),
        (["a"], "'a' is neither an option"),
        (["--data.root=x"], "no model.classifier"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(arguments, message):
    with pytest.raises((ValueError, OSError), match=message):
        read_settings(arguments)


def test_a_file_without_settings_is_refused(tmp_path):
    path = tmp_path / "list.yaml"
    path.write_text("- 1\n")
    with pytest.raises(ValueError, match="holds no settings"):
        read_settings(["--config", str(path)])
