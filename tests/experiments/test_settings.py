"""Settings that distinguish trainings, and their hash."""

import pytest

from pks4_lightning.cli.settings import resolve
from pks4_lightning.experiments.settings import config_hash, training_hash

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
    settings = resolve(arguments)
    return config_hash(settings), training_hash(settings)


def test_the_hash_of_given_settings_never_changes(base):
    """The defaults of version 0.2.0, written out, have the hash that they had then."""
    former = ["--model.classifier.residual=single", "--model.classifier.prior_init=default"]
    assert hashes(*base, *former) == ("cf80bda4c2c1", "842f977eb4a5")
    assert hashes(*base) == ("fdaea5a51d0e", "7c45c54ed819")


def test_a_default_that_is_written_out_is_the_same_setting(base):
    same = ["--model.classifier.bidirectional", "false", "--data.num_frames", "8"]
    assert hashes(*base) == hashes(*base, *same, "--model.recipe.label_smoothing=0.1")


@pytest.mark.parametrize(
    "argument",
    [
        *("--data.root=there", "--data.videos=videos"),
        *("--seed_everything=3", "--trainer.default_root_dir=runs/x"),
    ],
)
def test_folders_and_seeds_do_not_change_the_hash(base, argument):
    assert hashes(*base) == hashes(*base, argument)


def test_views_are_a_setting_of_the_test_alone(base):
    (config, training), (other_config, other_training) = (
        hashes(*base),
        hashes(*base, "--data.num_clips=1"),
    )
    assert config != other_config
    assert training == other_training


def test_a_changed_setting_changes_the_hash(base):
    one, other = hashes(*base), hashes(*base, "--model.classifier.context_frames=2")
    assert not set(one) & set(other)
