import csv
import json

import numpy as np
import pytest

from pks4_lightning.training.scoring.prediction_files import prediction_file
from pks4_lightning.training.scoring.predictions import Label, Prediction, best_labels

FORMATS = ("csv", "json", "jsonl")
SIX = [
    Prediction(path, "", [Label(f'Pushing "{k}", left', 0.75), Label("日本, ü", 0.25)])
    for k, path in enumerate(
        ["a.mp4", "with, comma.mp4", 'with "quotes".mp4', "line\nfeed.mp4", "ü/日本.mp4", "-.mp4"]
    )
]


def opened(folder, file_format, num_best=2):
    return prediction_file(folder, file_format, num_best=num_best)


@pytest.mark.parametrize("file_format", FORMATS)
def test_appended_predictions_are_read_again(tmp_path, file_format):
    file = opened(tmp_path, file_format)
    file.append(SIX[:2])
    file.append(SIX[2:3])
    file.append(SIX[3:])
    assert opened(tmp_path, file_format).read() == SIX


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_truncated_file_keeps_its_whole_lines_and_is_continued(tmp_path, file_format):
    file = opened(tmp_path, file_format)
    file.append(SIX)
    whole = file.path.read_bytes()
    kept_before = 0
    for size in range(len(whole) + 1):
        file.path.write_bytes(whole[:size])
        again = opened(tmp_path, file_format)
        kept = again.read()
        assert kept == SIX[: len(kept)]
        assert len(kept) >= kept_before
        kept_before = len(kept)
        if size % 41 == 0:
            again.write(kept)
            again.append(SIX[len(kept) :] or SIX[:1])
            assert opened(tmp_path, file_format).read()[: len(SIX)] == SIX
    assert kept_before == len(SIX)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("name", ["caf\udce9.mp4", "two\u2028lines.mp4", "next\x85line.mp4"])
def test_any_file_name_is_read_again(tmp_path, file_format, name):
    odd = [SIX[0]._replace(video_path=name), SIX[1]]
    file = opened(tmp_path, file_format)
    file.append(odd[:1])
    file.append(odd[1:])
    assert opened(tmp_path, file_format).read() == odd
    if file_format == "json":
        assert json.loads(file.path.read_text(encoding="utf-8"))[0]["video_path"] == name


def test_other_programs_read_the_files_while_they_grow(tmp_path):
    for part in (SIX[:1], SIX[1:4], SIX[4:]):
        for file_format in FORMATS:
            opened(tmp_path, file_format).append(part)
        with (tmp_path / "predictions.csv").open(newline="", encoding="utf-8") as text:
            rows = list(csv.reader(text))
        listed = json.loads((tmp_path / "predictions.json").read_text())
        lines = (tmp_path / "predictions.jsonl").read_text().splitlines()
        assert rows[0] == ["video_path", "label", "top1", "score1", "top2", "score2"]
        assert listed == [json.loads(line) for line in lines]
        assert [row[0] for row in rows[1:]] == [entry["video_path"] for entry in listed]
        assert rows[1][2:4] == ['Pushing "0", left', "0.750000"]
        assert listed[0]["best"][0] == {"name": 'Pushing "0", left', "score": 0.75}


@pytest.mark.parametrize("file_format", FORMATS)
def test_invalid_prediction_files_are_named(tmp_path, file_format):
    file = opened(tmp_path, file_format)
    file.append(SIX[:3])
    with pytest.raises(ValueError, match=r"predictions\..*not a prediction"):
        opened(tmp_path, file_format, num_best=1).read()
    text = file.path.read_bytes()
    file.path.write_bytes(text.replace(b"a.mp4", b'a"\n{.mp4'))
    with pytest.raises(ValueError, match="not a prediction"):
        opened(tmp_path, file_format).read()


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_saved_by_another_program_loses_no_prediction(tmp_path, file_format):
    plain = [each for each in SIX if "\n" not in each.video_path]
    file = opened(tmp_path, file_format)
    file.append(plain)
    whole = file.path.read_bytes()
    for saved in (whole.replace(b"\r\n", b"\n"), whole.removesuffix(b"\n")):
        file.path.write_bytes(saved)
        assert opened(tmp_path, file_format).read() == plain
        assert file.path.read_bytes() == whole, "it can be appended to"


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("number", [1, 6])
def test_a_list_in_another_layout_is_refused_and_kept(tmp_path, indent, number):
    file = opened(tmp_path, "json")
    file.append(SIX[:number])
    saved = json.dumps(json.loads(file.path.read_text()), indent=indent)
    file.path.write_text(saved)
    with pytest.raises(ValueError, match=r"predictions.json' is not a file of `pks4 predict`"):
        opened(tmp_path, "json").read()
    assert file.path.read_text() == saved


def test_ties_go_to_the_lower_class_and_all_means_all():
    scores = np.array([[0.2, 0.4, 0.4], [1.0, 0.0, 0.0]], np.float32)
    (first, second) = best_labels(scores, ["a", "b", "c"])
    assert [name for name, _ in first] == ["b", "c", "a"]
    assert second[0] == Label("a", 1.0)
    assert [len(best) for best in best_labels(scores, ["a", "b", "c"], num_best=2)] == [2, 2]
