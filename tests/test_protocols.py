"""Transfer of a finished training to other data: linear probe, new classes, retrieval."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
import torch

from pks4_lightning.__main__ import main
from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.commands.retrieve import _features
from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.training.scoring.retrieval import nearest_neighbours, retrieval_scores
from pks4_lightning.training.task import VideoClassificationTask
from tests.conftest import ROOT

PROBE = ROOT / "configs" / "protocols" / "linear_probe.yaml"
SETS = ("ucf101", "hmdb51", "coin", "breakfast", "ssv2", "diving48")


def state(folder):
    path = folder / "checkpoints" / "last.ckpt"
    return torch.load(path, weights_only=True)["state_dict"]


def error(capsys):
    lines = capsys.readouterr().err.splitlines()
    (line,) = (line for line in lines if line.startswith("pks4: error: "))
    return line


@pytest.fixture
def four_classes(motion_set, tmp_path):
    """The tiny data set with half of its classes."""
    root = tmp_path / "four"
    shutil.copytree(motion_set, root)
    names = list(json.loads((root / "labels" / "labels.json").read_text()))[:4]
    for split in ("train", "validation", "test"):
        path = root / "labels" / f"{split}.json"
        entries = json.loads(path.read_text())
        plain = [{**each, "template": re.sub(r"[\[\]]", "", each["template"])} for each in entries]
        path.write_text(json.dumps([each for each in plain if each["template"] in names]))
    labels = {name: str(number) for number, name in enumerate(names)}
    (root / "labels" / "labels.json").write_text(json.dumps(labels))
    return root


def test_a_linear_probe_changes_the_head_and_no_other_bit(tiny_args, trained, tmp_path):
    start = trained / "checkpoints" / "last.ckpt"
    probe = ["fit", *tiny_args, f"--config={PROBE}", f"--model.init_from={start}"]
    run_cli([*probe, f"--trainer.default_root_dir={tmp_path}"])
    before, after = state(trained), state(tmp_path)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"classifier.head.weight", "classifier.head.bias"}
    assert any("running_mean" in name for name in before), "there were statistics to change"


def test_a_linear_probe_is_resumed_as_one(tiny_args, trained, tmp_path):
    start = trained / "checkpoints" / "last.ckpt"
    probe = ["fit", *tiny_args, f"--config={PROBE}", f"--model.init_from={start}"]
    run_cli([*probe, f"--trainer.default_root_dir={tmp_path}", "--trainer.max_epochs=1"])
    first = state(tmp_path)
    resumed = f"--ckpt_path={tmp_path / 'checkpoints' / 'last.ckpt'}"
    run_cli(["fit", resumed, "--trainer.max_epochs=2", "--allow_changes=true"])
    second = state(tmp_path)
    changed = {name for name in first if not torch.equal(first[name], second[name])}
    assert changed == {"classifier.head.weight", "classifier.head.bias"}


def test_other_classes_get_a_new_head_and_all_else_is_taken_over(
    four_classes, tiny_args, trained, tmp_path, caplog
):
    start = trained / "checkpoints" / "last.ckpt"
    args = [*tiny_args, f"--data.root={four_classes}", "--model.classifier.num_classes=4"]
    args += ["--data.augmentation.flip_label_pairs=[]", f"--config={PROBE}"]
    args += [f"--model.init_from={start}", f"--trainer.default_root_dir={tmp_path / 'run'}"]
    with caplog.at_level("INFO", logger="pks4_lightning"):
        run_cli(["fit", *args])
    before, after = state(trained), state(tmp_path / "run")
    assert after["classifier.head.weight"].shape[0] == 4
    for name in before:
        if ".head." not in name:
            assert torch.equal(before[name], after[name]), name
    assert any("a new head for 4 classes in place of its 8" in line for line in caplog.messages)


def test_a_start_with_weights_of_another_reading_warns(tiny_args, trained, tmp_path, caplog):
    content = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    content["hyper_parameters"]["classifier"]["residual"] = "single"
    old = tmp_path / "old.ckpt"
    torch.save(content, old)
    once = ["fit", *tiny_args, "--trainer.fast_dev_run=true", f"--model.init_from={old}"]
    warnings = {}
    for residual in ("post_prior", "single"):
        caplog.clear()
        run_cli([*once, f"--model.classifier.residual={residual}"])
        warnings[residual] = [line for line in caplog.messages if "will not compute" in line]
    assert not warnings["single"]
    (line,) = warnings["post_prior"]
    assert f"{old} will not compute what they did: residual single there, post_prior here" in line
    assert "Set --model.classifier.residual single to" in line


@pytest.mark.slow
def test_an_exported_folder_starts_a_training_as_its_checkpoint_does(tiny_args, trained, tmp_path):
    start = trained / "checkpoints" / "last.ckpt"
    folder = tmp_path / "export"
    assert main(["export-weights", f"--ckpt_path={start}", f"--out={folder}"]) == 0
    states = []
    for number, source in enumerate((start, folder)):
        run = tmp_path / str(number)
        source = f"--model.init_from={source}"
        run_cli(["fit", *tiny_args, source, f"--trainer.default_root_dir={run}"])
        states.append(state(run))
    torch.testing.assert_close(*states, rtol=0, atol=0)
    assert not torch.equal(
        states[0]["classifier.head.weight"], state(trained)["classifier.head.weight"]
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--model.classifier.d_state=8"], ["a different architecture", "(32, 4)", "(32, 8)"]),
        (["--model.init_from=/nowhere.ckpt"], ["no checkpoint", "/nowhere.ckpt"]),
        (["--model.recipe.trains=neck"], ["neck"]),
    ],
    ids=["architecture", "missing", "part"],
)
def test_unsuitable_starts_are_refused(tiny_args, trained, tmp_path, capsys, changes, words):
    start = trained / "checkpoints" / "last.ckpt"
    args = ["fit", *tiny_args, f"--model.init_from={start}", *changes]
    try:
        status = main([*args, f"--trainer.default_root_dir={tmp_path}"])
    except SystemExit as end:
        status = end.code
    assert status in (1, 2)
    said = error(capsys)
    assert all(word in said for word in words), said
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize("name", SETS)
def test_the_probe_stacks_on_every_set(name, tmp_path):
    cli = run_cli(
        [
            "fit",
            f"--config={ROOT / 'configs' / name}.yaml",
            f"--config={PROBE}",
            "--data.root=/",
            "--trainer.precision=32",
            f"--trainer.default_root_dir={tmp_path}",
        ],
        start=False,
    )
    assert cli.model.recipe.trains == "head"
    assert cli.model.recipe.mix_prob == 0


def test_retrieval_compares_the_inputs_of_the_head(trained, tmp_path, capsys):
    checkpoint = trained / "checkpoints" / "last.ckpt"
    args = ["retrieve", f"--ckpt_path={checkpoint}", "--k", "1", "3", f"--out={tmp_path}"]
    assert main(args) == 0
    report = json.loads((tmp_path / "retrieval.json").read_text())
    assert (report["num_queries"], report["num_gallery"]) == (11, 16)
    # the same by hand: retrieval uses the frames of a test with one view
    cli = run_cli(["test", f"--ckpt_path={checkpoint}", f"--trainer.default_root_dir={tmp_path}"])
    data = cli.datamodule
    data.setup("fit")
    task = VideoClassificationTask.load_from_checkpoint(checkpoint, weights_only=True).eval()
    read = []
    task.classifier.head.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    sets = []
    for split in ("test", "train"):
        data._splits.videos["test"] = data.videos(split)
        read.clear()
        with torch.no_grad():
            for batch in data.test_dataloader():
                task(data.to_model_input(batch))
        sets += [torch.cat(read).numpy(), np.array(data.videos(split).labels)]
    queries, query_labels, gallery, labels = sets
    neighbours = nearest_neighbours(queries, gallery, 3)
    expected = retrieval_scores(labels[neighbours.places], query_labels, ks=(1, 3))
    assert {name: report[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    with (tmp_path / "neighbours.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = data.label_names
    for row, label, places, cosines in zip(rows, query_labels, *neighbours, strict=True):
        assert row["label"] == names[label]
        for k, (place, cosine) in enumerate(zip(places, cosines, strict=True), start=1):
            assert row[f"neighbour{k}"] == data.videos("train").path(place)
            assert row[f"label{k}"] == names[labels[place]]
            assert float(row[f"similarity{k}"]) == pytest.approx(cosine, abs=2e-6)
    assert "11 queries, 16 gallery videos" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--k=17"], "--k is 17, but there are only 16 training videos; lower it"),
        (["--data.test=labels/train.json"], "16 test videos, such as"),
    ],
    ids=["many", "itself"],
)
def test_retrieval_refuses_impossible_settings(trained, tmp_path, capsys, args, words):
    checkpoint = trained / "checkpoints" / "last.ckpt"
    assert main(["retrieve", f"--ckpt_path={checkpoint}", f"--out={tmp_path}", *args]) == 1
    assert words in error(capsys)
    assert not list(tmp_path.iterdir()), "nothing was computed"


def test_retrieval_in_few_videos_shortens_its_default(
    trained, motion_set, tmp_path, capsys, caplog
):
    listed = json.loads((motion_set / "labels" / "train.json").read_text())
    (tmp_path / "few.json").write_text(json.dumps(listed[:6]))
    given = ["retrieve", f"--ckpt_path={trained / 'checkpoints' / 'last.ckpt'}"]
    assert main([*given, f"--data.train={tmp_path / 'few.json'}", f"--out={tmp_path}"]) == 0
    assert caplog.text.count("There are only 6 training videos, so --k is 1 5.") == 1
    report = json.loads((tmp_path / "retrieval.json").read_text())
    assert [name for name in report if "@" in name] == ["recall@1", "knn@1", "recall@5", "knn@5"]


def test_retrieval_gives_no_video_the_label_of_one_that_has_gone(trained, motion_set, tmp_path):
    first, second = sorted((motion_set / "videos").iterdir())[:2]
    paths = (str(first), str(tmp_path / "gone.webm"), str(second))
    videos = VideoList("list", "/", paths, (0, 1, 2))
    checkpoint = str(trained / "checkpoints" / "last.ckpt")
    with pytest.raises(
        FileNotFoundError, match=r"1 videos have disappeared .*gone.webm'; run it again"
    ):
        _features(checkpoint, videos, tmp_path / "features", [])


def test_retrieval_searches_a_video_that_is_listed_twice_once(trained, motion_set, tmp_path):
    first, second = map(str, sorted((motion_set / "videos").iterdir())[:2])
    videos = VideoList("list", "/", (first, first, second), (0, 1, 2))
    checkpoint = str(trained / "checkpoints" / "last.ckpt")
    features, found = _features(checkpoint, videos, tmp_path / "features", [])
    assert (len(features), found.labels) == (2, (0, 2))


def test_a_causal_training_starts_warm_from_one_that_looks_both_ways(
    tiny_args, trained, tmp_path, caplog
):
    caplog.set_level("INFO", logger="pks4_lightning")
    start = trained / "checkpoints" / "best.ckpt"
    task = run_cli(
        [
            *("fit", *tiny_args, "--model.classifier.causal=true", f"--model.init_from={start}"),
            *("--trainer.max_epochs=1", f"--trainer.default_root_dir={tmp_path}"),
        ]
    ).model
    assert "This is a warm start; the function changes" in caplog.text
    assert "the warm-up takes 2 steps and the training 2; lower" in caplog.text
    assert task.classifier.delay == 0
    saved = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["hyper_parameters"]["classifier"]["causal"] is True
