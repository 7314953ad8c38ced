"""``pks4 predict``: targets, output files, resumption and errors."""

import csv
import io
import json
import sys

import pytest

from pks4_lightning.__main__ import main
from tests.helpers.two_ranks import TWO, pks4_on_two_ranks


@pytest.fixture(scope="module")
def checkpoint(trained):
    return trained / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def export(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "classifier"
    assert main(["export-weights", f"--ckpt_path={checkpoint}", f"--out={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def videos(motion_set):
    return sorted(map(str, (motion_set / "videos").iterdir()))[:5]


def predict(source, out, *arguments):
    given = [f"--ckpt_path={source}", f"--out={out}", *map(str, arguments)]
    return main(["predict", "--data.num_workers=0", *given])


def rows(folder, name="predictions.csv"):
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def sentence(capsys):
    lines = capsys.readouterr().err.splitlines()
    (line,) = (line for line in lines if line.startswith("pks4: error: "))
    return line


def test_several_paths_in_every_format_and_what_is_missing(checkpoint, videos, tmp_path):
    for name in ("csv", "json", "jsonl"):
        out = tmp_path / name
        given = [*videos[:2], "gone.mp4", "--format", name, "--num_best", "all"]
        assert predict(checkpoint, out, *given) == 0
        assert rows(out, "failed.csv") == [{"video_path": "gone.mp4", "reason": "missing"}]
    listed = json.loads((tmp_path / "json" / "predictions.json").read_text())
    lines = (tmp_path / "jsonl" / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == listed
    assert [entry["video_path"] for entry in listed] == videos[:2]
    for entry, row in zip(listed, rows(tmp_path / "csv"), strict=True):
        assert len(entry["best"]) == 8
        assert sum(label["score"] for label in entry["best"]) == pytest.approx(1, abs=1e-5)
        for k, label in enumerate(entry["best"], start=1):
            assert (label["name"], f"{label['score']:.6f}") == (row[f"top{k}"], row[f"score{k}"])


def test_exports_and_starting_weights_predict_as_well(checkpoint, export, videos, tmp_path):
    assert predict(checkpoint, tmp_path / "checkpoint", *videos) == 0
    for number, source in enumerate((export, export / "weights.safetensors")):
        assert predict(source, tmp_path / str(number), *videos) == 0
        assert rows(tmp_path / str(number)) == rows(tmp_path / "checkpoint")
    for source in (checkpoint, export):
        out = tmp_path / f"from_{source.name}"
        start = f"--model.init_from={source}"
        assert main(["predict", start, f"--out={out}", "--data.num_workers=0", *videos]) == 0
        assert rows(out) == rows(tmp_path / "checkpoint")


@pytest.mark.slow
def test_an_export_is_tested_and_costed_like_its_checkpoint(
    checkpoint, export, motion_set, tmp_path, capsys
):
    found = []
    for source in (checkpoint, export):
        root = tmp_path / source.name
        data = [f"--data.root={motion_set}", f"--trainer.default_root_dir={root}"]
        data.append("--data.num_workers=0")
        assert main(["test", f"--ckpt_path={source}", *data]) == 0
        capsys.readouterr()
        assert main(["cost", f"--ckpt_path={source}", "--json"]) == 0
        cost = json.loads(capsys.readouterr().out)
        found.append((rows(root / "test"), cost["parameters"], cost["flops"]))
    assert found[0] == found[1]


@pytest.mark.slow
def test_an_export_is_searched_and_stretched_like_its_checkpoint(
    checkpoint, export, motion_set, tmp_path
):
    found = []
    for source in (checkpoint, export):
        data = [f"--ckpt_path={source}", f"--data.root={motion_set}", "--data.num_workers=0"]
        out = tmp_path / source.name
        assert main(["retrieve", *data, "--k", "1", "3", f"--out={out / 'found'}"]) == 0
        grid = ["--frames", "3", "--resolutions", "32", f"--out={out / 'grid'}"]
        assert main(["stretch", *data, *grid]) == 0
        (cell,) = json.loads((out / "grid" / "results.json").read_text())["cells"]
        neighbours = [
            [value for name, value in row.items() if not name.startswith("similarity")]
            for row in rows(out / "found", "neighbours.csv")
        ]
        found.append((neighbours, cell["top1"], cell["gflops"], cell["num_videos"]))
    assert found[0] == found[1]


def test_two_ranks_write_one_file_in_the_order_of_the_list(checkpoint, videos, tmp_path):
    assert predict(checkpoint, tmp_path / "one", *videos, "gone.mp4") == 0
    given = ["predict", f"--ckpt_path={checkpoint}", f"--out={tmp_path / 'two'}"]
    given += [*videos, "gone.mp4", "--data.num_workers=0", "--data.test_batch_size=1"]
    pks4_on_two_ranks([*given, *TWO], tmp_path)
    assert [row["video_path"] for row in rows(tmp_path / "two")] == videos
    for one, two in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        assert one["top1"] == two["top1"]
        assert float(one["score1"]) == pytest.approx(float(two["score1"]), abs=2e-6)
    assert rows(tmp_path / "two", "failed.csv") == rows(tmp_path / "one", "failed.csv")


def test_a_training_does_not_go_on_from_an_export(export, capsys):
    assert main(["fit", f"--ckpt_path={export}"]) == 1
    assert "start one from them with --model.init_from" in sentence(capsys)


@pytest.mark.parametrize("command", ["predict", "test", "validate"])
def test_a_random_head_labels_nothing(command, tiny_args, tmp_path, capsys):
    where = f"--trainer.default_root_dir={tmp_path / 'run'}"
    assert main([command, *tiny_args, where]) == 1
    assert f"`pks4 {command}` needs trained weights: --ckpt_path names" in sentence(capsys)
    assert not (tmp_path / "run").exists()


def test_an_interrupted_prediction_resumes_and_nothing_is_replaced(
    checkpoint, videos, tmp_path, capsys
):
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert predict(checkpoint, whole, *videos) == 0
    assert predict(checkpoint, part, *videos, "gone.mp4") == 0
    content = (part / "predictions.csv").read_bytes()
    (part / "predictions.csv").write_bytes(content[:-150])  # as left by a kill during an append
    assert 0 < content[:-150].count(b"\r\n") - 1 < len(videos)
    capsys.readouterr()
    assert predict(checkpoint, part, *videos) == 1
    assert "add to them with --resume, or choose another folder with --out" in sentence(capsys)
    assert (part / "predictions.csv").read_bytes() == content[:-150]
    assert predict(checkpoint, part, *videos, "--resume") == 0
    assert rows(part) == rows(whole)
    assert not (part / "failed.csv").exists(), "what failed is tried again"
    assert predict(checkpoint, part, *videos, "--resume") == 0, "nothing is left to do"
    assert rows(part) == rows(whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--data.num_clips=2"], "data.num_clips 1, but it is now 2"),
        (["--num_best=3"], "num_best 5, but it is now 3"),
        (["--format=json"], "format csv, but it is now json"),
    ],
)
def test_predictions_are_continued_with_the_same_settings_alone(
    checkpoint, videos, tmp_path, capsys, change, words
):
    assert predict(checkpoint, tmp_path, videos[0]) == 0
    before = (tmp_path / "predictions.csv").read_bytes()
    capsys.readouterr()
    assert predict(checkpoint, tmp_path, videos[1], "--resume", *change) == 1
    assert words in sentence(capsys)
    assert (tmp_path / "predictions.csv").read_bytes() == before
    assert predict(checkpoint, tmp_path, videos[1], "--resume") == 0
    assert [row["video_path"] for row in rows(tmp_path)] == videos[:2]


def test_a_run_without_scores_fails(checkpoint, tmp_path, capsys):
    (tmp_path / "not.mp4").write_bytes(b"this is no video")
    assert predict(checkpoint, tmp_path / "out", tmp_path / "not.mp4") == 1
    assert f"No video could be scored; {tmp_path}/out/failed.csv gives the reasons." in sentence(
        capsys
    )
    (row,) = rows(tmp_path / "out", "failed.csv")
    assert row["video_path"].endswith("not.mp4")
    assert not (tmp_path / "out" / "predictions.csv").exists()


def test_an_unwritable_folder_is_refused_before_decoding(checkpoint, videos, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert predict(checkpoint, tmp_path / "file" / "out", videos[0]) == 1
    assert "Choose another folder with --out." in sentence(capsys)


def test_a_list_is_read_from_standard_input(checkpoint, videos, tmp_path, monkeypatch):
    content = io.BytesIO("\n".join(videos[:2]).encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(content))
    assert predict(checkpoint, tmp_path, "-") == 0
    assert [row["video_path"] for row in rows(tmp_path)] == videos[:2]


@pytest.mark.parametrize("number", ["0", "-1", "few"])
def test_a_wrong_number_of_classes_is_refused(number, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["predict", "--ckpt_path=x", f"--num_best={number}", "a.mp4"])
    assert "neither a positive integer nor 'all'" in sentence(capsys)
