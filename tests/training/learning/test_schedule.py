from types import SimpleNamespace

import pytest

from pks4_lightning.training.learning.recipe import Recipe
from pks4_lightning.training.learning.schedule import resolve_schedule


class Source:
    """A data set of 1000 videos."""

    def __init__(self, batch_size):
        self.batch_size = batch_size
        self.label_names = ["a", "b"]

    def num_train_batches(self):
        return 1000 // self.batch_size


def resolve(batch_size=16, recipe=None, **trainer):
    settings = {
        "world_size": 1,
        "accumulate_grad_batches": 1,
        "limit_train_batches": 1.0,
        "max_epochs": 20,
        "max_steps": -1,
        **trainer,
    }
    return resolve_schedule(recipe or Recipe(), Source(batch_size), SimpleNamespace(**settings))


def test_paper_scale_needs_no_accumulation():
    schedule = resolve(batch_size=16, world_size=8)
    assert (schedule.accumulation, schedule.videos_per_step) == (1, 128)
    assert schedule.peak_lr == pytest.approx(7e-4 * 128 / 256)


@pytest.mark.parametrize(("batch_size", "accumulation"), [(4, 32), (16, 8), (128, 1), (500, 1)])
def test_one_device_accumulates_to_the_reference_batch(batch_size, accumulation):
    schedule = resolve(batch_size)
    assert schedule.accumulation == accumulation
    assert schedule.videos_per_step == batch_size * accumulation
    assert schedule.peak_lr == pytest.approx(7e-4 * schedule.videos_per_step / 256)


def test_accumulation_chosen_by_hand_is_kept():
    assert resolve(16, accumulate_grad_batches=3).videos_per_step == 48


def test_no_reference_batch_no_accumulation():
    assert resolve(16, Recipe(reference_batch=None)).accumulation == 1


@pytest.mark.parametrize("by_hand", [1, 8])
def test_an_epoch_shorter_than_a_step_gives_the_rate_of_the_videos_it_has(by_hand):
    schedule = resolve(16, limit_train_batches=4, accumulate_grad_batches=by_hand)
    assert (schedule.accumulation, schedule.videos_per_step) == (4, 64)
    assert schedule.peak_lr == pytest.approx(7e-4 * 64 / 256)


def test_last_incomplete_accumulation_is_a_step():
    schedule = resolve(16)  # 62 batches in groups of 8
    assert schedule.steps_per_epoch == 8
    assert (schedule.total_steps, schedule.warmup_steps) == (160, 40)


@pytest.mark.parametrize(("limit", "steps"), [(8, 1), (9, 2), (0.5, 4), (1.0, 8)])
def test_limits_shorten_the_epoch(limit, steps):
    assert resolve(16, limit_train_batches=limit).steps_per_epoch == steps


def test_max_steps_ends_before_max_epochs():
    assert resolve(16, max_steps=30).total_steps == 30
    assert resolve(16, max_steps=30, max_epochs=None).total_steps == 30


def test_a_run_without_an_end_is_refused():
    with pytest.raises(ValueError, match=r"max_epochs or --trainer\.max_steps"):
        resolve(16, max_epochs=-1)


def test_a_run_without_a_batch_is_refused():
    with pytest.raises(ValueError, match="not a single training batch"):
        resolve(16, limit_train_batches=0)
