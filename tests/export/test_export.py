"""``pks4 export``: its files run without the package and give the same scores, or it fails."""

import csv
import json
import shutil
import subprocess
import sys

import pytest
import torch

import pks4_lightning
from pks4_lightning.__main__ import main
from pks4_lightning.export import folder

ALONE = """
import json, sys
for name in ("torch", "pks4_lightning", "transformers", "lightning"):
    sys.modules[name] = None  # an import of it fails
sys.path.insert(0, {folder!r})
import numpy as np
import run
model = run.load_model()
clips = [run.read_clips(video) for video in sys.argv[1:]]
alone = [run.scores(model(each)[0]).tolist() for each in clips]
three = [model(np.concatenate(clips[i : i + 3]))[0] for i in range(0, len(clips), 3)]
three = [run.scores(logits[None]).tolist() for logits in np.concatenate(three)]
print(json.dumps([alone, three]))
"""


@pytest.fixture(scope="module")
def checkpoint(trained):
    return trained / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def videos(motion_set):
    entries = json.loads((motion_set / "labels" / "test.json").read_text())
    (suffix,) = {path.suffix for path in (motion_set / "videos").iterdir()}
    return [str(motion_set / "videos" / f"{entry['id']}{suffix}") for entry in entries]


@pytest.fixture(scope="module")
def predicted(checkpoint, videos, tmp_path_factory):
    """Class scores by name, for every video, as `pks4 predict` writes them."""
    out = tmp_path_factory.mktemp("predicted")
    given = [f"--ckpt_path={checkpoint}", f"--out={out}", "--num_best=all", *videos]
    assert main(["predict", "--data.num_workers=0", *given]) == 0
    with (out / "predictions.csv").open(newline="") as file:
        rows = {row["video_path"]: row for row in csv.DictReader(file)}
    places = range(1, 9)
    return [
        {rows[video][f"top{k}"]: float(rows[video][f"score{k}"]) for k in places}
        for video in videos
    ]


def export(checkpoint, out, to):
    return main(["export", f"--ckpt_path={checkpoint}", "--to", to, "--out", str(out)])


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory):
    """Return the folder of an export, created on first use."""
    place = tmp_path_factory.mktemp("export")

    def exported(to):
        if not (place / to).exists():
            assert export(checkpoint, place / to, to) == 0
        return place / to

    return exported


def named(place, found):
    labels = (place / "labels.txt").read_text().splitlines()
    return dict(zip(labels, found, strict=True))


@pytest.mark.parity
def test_onnxruntime_without_torch_labels_the_test_videos_as_predict_does(
    exported, videos, predicted
):
    place = exported("onnx")
    code = ALONE.format(folder=str(place))
    run = subprocess.run(
        [sys.executable, "-c", code, *videos], capture_output=True, text=True, check=True
    )
    for batch in json.loads(run.stdout):
        for found, expected in zip(batch, predicted, strict=True):
            assert named(place, found) == pytest.approx(expected, abs=1e-5)


SLOW = [pytest.mark.slow, pytest.mark.timeout(1800)]  # compiling takes minutes


@pytest.mark.parity
@pytest.mark.parametrize(
    "to", ["onnx", pytest.param("torch", marks=SLOW), pytest.param("aoti", marks=SLOW)]
)
def test_each_way_is_verified_and_its_script_labels_a_video(to, exported, videos, predicted):
    place = exported(to)
    parity = json.loads((place / "parity.json").read_text())
    assert 0 <= parity["max_abs_difference"] < 1e-5 < parity["largest_logit"]
    assert parity["batches"] == [1, 3, 4]
    assert parity["versions"]["pks4-lightning"] == pks4_lightning.__version__
    run = subprocess.run(
        [sys.executable, str(place / "run.py"), videos[0]],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = [line.split("\t") for line in run.stdout.splitlines()]
    best = sorted(predicted[0], key=predicted[0].get, reverse=True)[:5]
    assert [label for _, _, label in rows] == best
    written = [float(score) for _, score, _ in rows]
    assert written == pytest.approx([predicted[0][label] for label in best], abs=6e-5)


def test_a_program_holds_no_operator_of_ours(exported):
    """Otherwise it could not be loaded without this package."""
    program = torch.export.load(exported("torch") / "model.pt2")
    graphs = [part.graph for part in program.graph_module.modules() if hasattr(part, "graph")]
    called = {str(node.target) for graph in graphs for node in graph.nodes}
    assert "aten.softplus.default" in called, "the scan's step size"
    assert not [name for name in called if name.startswith("pks4.")]


def shifted(program):
    """Return a program whose logits are slightly wrong."""
    with torch.no_grad():
        program.state_dict["classifier.head.bias"].add_(0.001)
    return program


def test_a_wrong_export_fails_and_leaves_the_earlier_one(
    checkpoint, exported, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    shutil.copytree(exported("torch"), out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    program = shifted(torch.export.load(out / "model.pt2"))
    monkeypatch.setattr(folder, "trace", lambda *_, **__: program)
    for place in (out, tmp_path / "new"):
        assert export(checkpoint, place, "torch") == 1
        error = capsys.readouterr().err
        assert "disagrees with the classifier: logits differ by up to 0.001," in error
        assert f"Nothing was written to {place}." in error
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert list(tmp_path.iterdir()) == [out], "nothing else is left"


def test_unsupported_exports_are_refused_in_one_sentence(checkpoint, tmp_path, monkeypatch, capsys):
    (tmp_path / "notes.txt").touch()
    assert export(checkpoint, tmp_path, "torch") == 1
    assert "notes.txt would be lost, and is not known" in capsys.readouterr().err

    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert export(checkpoint, tmp_path / "out", "onnx") == 1
    said = "model.onnx needs onnxscript: pip install 'pks4-lightning[export]'."
    assert capsys.readouterr().err.strip() == f"pks4: error: {said}"

    content = torch.load(checkpoint, weights_only=True)
    content["config"]["data"]["resize"] = 30
    torch.save(content, tmp_path / "small.ckpt")
    assert export(tmp_path / "small.ckpt", tmp_path / "out", "torch") == 1
    assert "scaled to 30 and cropped to 32" in capsys.readouterr().err
    assert export(tmp_path / "none.ckpt", tmp_path / "out", "torch") == 1
    assert "none.ckpt" in capsys.readouterr().err
