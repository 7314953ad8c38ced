"""A model in a separate process survives videos that crash or block it."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pks4_lightning.app.examination import describe
from pks4_lightning.app.model_process import ModelProcess, NoAnswerError

pytestmark = pytest.mark.slow


def sleep(model, seconds):
    time.sleep(seconds)
    return os.getpid()


def echo(model, number):
    time.sleep(0.05)
    return number


def die(model):
    os._exit(7)


def refuse(model, name):
    raise ValueError(f"'{name}' is refused.")


@pytest.fixture(scope="module")
def model(trained):
    source = str(trained / "checkpoints" / "best.ckpt")
    with ModelProcess(source, device="cpu", time_limit=3.0) as model:
        yield model


def test_a_call_that_takes_too_long_is_given_up_and_the_next_one_is_answered(model):
    first = model.call(sleep, 0.0)
    assert first != os.getpid()
    with pytest.raises(NoAnswerError, match="longer than 3 seconds and was stopped"):
        model.call(sleep, 60.0)
    second = model.call(sleep, 0.0)
    assert second != first
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_a_process_that_ends_is_started_again(model):
    with pytest.raises(NoAnswerError, match="ended the process that decoded it"):
        model.call(die)
    assert model.call(describe) == model.description


def test_an_error_keeps_the_process(model):
    before = model.call(sleep, 0.0)
    with pytest.raises(NoAnswerError, match="ValueError: see the terminal in which"):
        model.call(refuse, "x.mp4")  # not raised by our own modules
    assert model.call(sleep, 0.0) == before


def test_each_of_several_calls_at_once_gets_its_own_answer(model):
    with ThreadPoolExecutor(5) as threads:
        answers = list(threads.map(lambda number: model.call(echo, number), range(5)))
    assert answers == list(range(5))


def test_a_model_that_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(NoAnswerError, match=r"nowhere\.ckpt"):
        ModelProcess(str(tmp_path / "nowhere.ckpt"), device="cpu", time_limit=3.0)


def test_a_closed_model_is_not_started_again(trained):
    source = str(trained / "checkpoints" / "best.ckpt")
    with ModelProcess(source, device="cpu", time_limit=3.0) as model:
        process = model.call(sleep, 0.0)
    with pytest.raises(NoAnswerError, match="has been stopped"):
        model.call(sleep, 0.0)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
