import csv
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassF1Score

from pks4_lightning.training.scoring.class_report import ClassReport, confusion_counts
from tests.conftest import ROOT

NAMES = ["open", "close, slowly", "fold", "tear"]


@pytest.fixture
def report():
    """A report with no "fold" videos and no "tear" predictions."""
    return ClassReport(np.array([[3, 1, 0, 0], [2, 2, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0]]))


def test_videos_are_counted_by_truth_and_answer():
    scores = np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
    assert confusion_counts(scores, np.array([1, 0, 1])).tolist() == [[1, 0], [1, 1]]


def test_figures_of_a_class(report):
    np.testing.assert_allclose(report.accuracy, [3 / 4, 2 / 4, np.nan, 0])
    np.testing.assert_allclose(report.precision, [3 / 6, 2 / 3, 0, np.nan])
    np.testing.assert_allclose(report.f1, [6 / 10, 4 / 7, 0, 0])
    assert report.mean_accuracy == pytest.approx((0.75 + 0.5 + 0) / 3)


def test_macro_f1_is_torchmetrics():
    generator = np.random.default_rng(0)
    scores = generator.random((60, 12))
    scores[:, 10:] = 0  # never predicted
    label = generator.integers(11, size=60)  # 11 is also never the label
    ours = ClassReport(confusion_counts(scores, label)).macro_f1
    theirs = MulticlassF1Score(12, average="macro")(torch.tensor(scores), torch.tensor(label))
    assert ours == pytest.approx(float(theirs))


def test_files_contain_the_figures_by_name(report, tmp_path):
    report.write(tmp_path, NAMES)
    with (tmp_path / "per_class.csv").open(newline="") as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    assert rows["open"] == {
        "label": "open",
        "num_videos": "4",
        "accuracy": "0.750000",
        "precision": "0.500000",
        "f1": "0.600000",
        "most_often_taken_for": "close, slowly",
        "times": "1",
    }
    assert (rows["fold"]["num_videos"], rows["fold"]["accuracy"]) == ("0", "")
    assert (rows["tear"]["precision"], rows["fold"]["most_often_taken_for"]) == ("", "")
    with (tmp_path / "confusion.csv").open(newline="") as file:
        header, *counts = csv.reader(file)
    assert header[1:] == [row[0] for row in counts] == NAMES
    assert [list(map(int, row[1:])) for row in counts] == report.counts.tolist()
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


IN_ASCII = """
import locale
from pathlib import Path
import numpy as np
from pks4_lightning.training.scoring.class_report import ClassReport
from pks4_lightning.training.scoring.prediction_files import prediction_file, read_predictions
from pks4_lightning.training.scoring.predictions import Label, Prediction
assert "tür".encode(locale.getencoding(), "ignore") == b"tr"
ClassReport(np.array([[3, 1], [2, 2]])).write(Path(), ["tür, öffnen", "日本"])
made = [Prediction("ü.mp4", "tür, öffnen", [Label("日本", 0.75), Label("tür, öffnen", 0.25)])]
prediction_file(Path(), "csv", num_best=2).write(made)
assert read_predictions(Path()) == made
"""


def test_results_are_utf8_whatever_the_locale(tmp_path):
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONPATH": str(ROOT)}
    script = tmp_path / "script.py"
    script.write_text(IN_ASCII, encoding="utf-8")
    subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, check=True)
    for name in ("per_class.csv", "confusion.csv"):
        assert '"tür, öffnen"' in (tmp_path / name).read_text(encoding="utf-8")


def test_a_report_without_videos_has_no_averages():
    report = ClassReport(np.zeros((3, 3), int))
    assert (report.mean_accuracy, report.macro_f1) == (0.0, 0.0)
