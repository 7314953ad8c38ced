"""Weights or labels that do not fit are refused by name."""

import json
import shutil

import torch

from pks4_lightning.__main__ import main
from pks4_lightning.data.annotations.labels import plain_template
from pks4_lightning.training.checkpoints.reading import read_checkpoint

KEY = "classifier.pks4.scanner.in_proj.weight"


def renamed(weights):
    weights["classifier.pks4.scanner.in_projection.weight"] = weights.pop(KEY)


def dropped(weights):
    del weights[KEY]


def added(weights):
    weights["classifier.pks4.scanner.more"] = torch.zeros(1)


def transposed(weights):
    weights[KEY] = weights[KEY].T.contiguous()


def prefixed(weights):
    for name in list(weights):
        weights[f"module.{name}"] = weights.pop(name)


# changes, and what the message must say: the tensor's name and the difference
MUTATIONS = [
    (
        renamed,
        f"the checkpoint lacks {KEY}; the model has no classifier.pks4.scanner.in_projection",
    ),
    (dropped, f"the checkpoint lacks {KEY}."),
    (added, "the model has no classifier.pks4.scanner.more."),
    (transposed, f"{KEY} is (16, 64) in the checkpoint and (64, 16) in the model."),
    (prefixed, "the checkpoint lacks classifier."),
]


def sentence(capsys, args):
    """Run a command and return its error message, or an empty string."""
    capsys.readouterr()
    status = main(args)
    lines = capsys.readouterr().err.splitlines()
    found = [line for line in lines if line.startswith("pks4: error: ")]
    assert len(found) == (status == 1)
    return found[0] if found else ""


def test_weights_of_another_model_are_refused_by_name(trained, tmp_path, capsys, record):
    path = tmp_path / "changed.ckpt"
    args = ["test", f"--ckpt_path={path}", f"--trainer.default_root_dir={tmp_path}"]
    original = read_checkpoint(trained / "checkpoints" / "best.ckpt")
    torch.save(original, path)
    assert sentence(capsys, args) == "", "the weights as they are"
    said = {}
    for mutate, _ in MUTATIONS:
        weights = dict(original["state_dict"])
        mutate(weights)
        torch.save({**original, "state_dict": weights}, path)
        said[mutate.__name__] = sentence(capsys, args)
    record("mutated checkpoints", tried=len(said), refused=sum(map(bool, said.values())))
    wrong = {
        mutate.__name__: said[mutate.__name__]
        for mutate, words in MUTATIONS
        if words not in said[mutate.__name__]
    }
    assert wrong == {}


def test_labels_that_mean_something_else_are_refused_by_name(
    trained, motion_set, tmp_path, capsys, record
):
    shutil.copytree(motion_set, tmp_path / "data")
    args = [
        "test",
        f"--ckpt_path={trained / 'checkpoints' / 'best.ckpt'}",
        f"--data.root={tmp_path / 'data'}",
        f"--trainer.default_root_dir={tmp_path}",
    ]
    labels = tmp_path / "data" / "labels" / "labels.json"
    entries = labels.with_name("test.json")
    index = json.loads(labels.read_text())
    names = sorted(index, key=lambda name: int(index[name]))
    said = {}

    permuted = {name: str((int(number) + 3) % 8) for name, number in index.items()}
    labels.write_text(json.dumps(permuted))
    said["permuted"] = sentence(capsys, args), f"Class 0 is {names[0]!r} in the checkpoint"

    other = {"Juggling" if name == names[2] else name: number for name, number in index.items()}
    labels.write_text(json.dumps(other))
    content = json.loads(entries.read_text())
    kept = [entry for entry in content if plain_template(entry["template"]) != names[2]]
    entries.write_text(json.dumps(kept))
    said["renamed"] = sentence(capsys, args), f"Class 2 is {names[2]!r} in the checkpoint"

    labels.write_text(json.dumps(index))
    listed = tmp_path / "test.csv"
    rows = [f"{entry['id']}.webm,{8 if n == 2 else 0}" for n, entry in enumerate(content)]
    listed.write_text("\n".join(["path,label", *rows]))
    args += ["--data.format=csv", f"--data.test={listed}", f"--data.val={listed}"]
    args += [f"--data.labels={labels}", f"--data.videos={motion_set / 'videos'}"]
    words = "gives the label 8 at line 4; the 8 known labels are 0 to 7"
    said["out of range"] = sentence(capsys, args), words
    record("label faults", tried=len(said), refused=sum(bool(line) for line, _ in said.values()))
    assert {name: line for name, (line, words) in said.items() if words not in line} == {}
