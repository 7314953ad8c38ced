import pytest
import torch

from pks4_lightning.training.checkpoints.reading import (
    check_label_names,
    check_state_dict,
    load_checked,
    read_checkpoint,
)
from pks4_lightning.training.checkpoints.writing import WholeCheckpointIO

MODEL = {"a": torch.zeros(2, 3), "b": torch.zeros(4)}


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        ({"a": torch.zeros(2, 3)}, "the checkpoint lacks b"),
        ({**MODEL, "c": torch.zeros(1)}, "the model has no c"),
        (
            {**MODEL, "a": torch.zeros(3, 2)},
            r"a is \(3, 2\) in the checkpoint and \(2, 3\) in the model",
        ),
        ({"module.a": MODEL["a"], "b": MODEL["b"]}, "the model has no module.a"),
    ],
    ids=["missing", "left over", "shape", "prefix"],
)
def test_weights_that_do_not_fit_are_refused_by_name(saved, words):
    with pytest.raises(ValueError, match=words):
        check_state_dict(saved, MODEL)


def test_weights_that_fit_are_taken():
    check_state_dict({"b": torch.ones(4), "a": torch.ones(2, 3)}, MODEL)


def test_many_problems_are_counted_not_listed():
    model = {str(i): torch.zeros(1) for i in range(10)}
    with pytest.raises(ValueError, match="and 7 more"):
        check_state_dict({}, model)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (["b", "a"], "Class 0 is 'a' in the checkpoint and 'b' in the data"),
        (["a", "c"], "Class 1 is 'b' in the checkpoint and 'c' in the data"),
        (["a", "b", "c"], "has 2 classes, the data 3"),
    ],
    ids=["permuted", "renamed", "more"],
)
def test_other_labels_are_refused_by_name(data, words):
    with pytest.raises(ValueError, match=words):
        check_label_names(saved=["a", "b"], data=data)


def test_saved_values_round_trip(tmp_path):
    tensors = {
        "empty": torch.zeros(0, 3),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "count": torch.tensor(7),
        "strided": torch.arange(6.0).reshape(2, 3).T,
    }
    content = {"state_dict": tensors, "loops": {"a": [1, None]}}
    WholeCheckpointIO().save_checkpoint(content, tmp_path / "x.ckpt")
    for mmap in (False, True):
        content, is_verified = load_checked(tmp_path / "x.ckpt", mmap=mmap)
        assert is_verified
        assert content["loops"] == {"a": [1, None]}
        torch.testing.assert_close(content["state_dict"], tensors, rtol=0, atol=0)


def test_code_in_a_checkpoint_does_not_run(tmp_path):
    class Canary:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path = tmp_path / "hostile.ckpt"
    torch.save({"hyper_parameters": {"classifier": Canary()}}, path)
    with pytest.raises(ValueError, match=r"hostile\.ckpt is refused: .* could run code"):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()
