"""Something-Something V1, in the layout of its archives."""

import pytest

from pks4_lightning.data.annotations.layout import DataLayout
from pks4_lightning.data.annotations.reading import detect_format

NAMES = [
    "Holding something",
    "Pulling something from left to right",
    "Tearing something just a bit",
]


@pytest.fixture
def root(tmp_path):
    lists = {
        "train": "100218;Tearing something just a bit\n24413;Holding something\n",
        "validation": "74225;Pulling something from left to right\n",
        "test": "1420\n3\n",
        "labels": "\n".join(NAMES) + "\n",
    }
    for name, content in lists.items():
        (tmp_path / f"something-something-v1-{name}.csv").write_text(content)
    for video, number in {"100218": 3, "24413": 1, "74225": 2, "1420": 1}.items():
        folder = tmp_path / "20bn-something-something-v1" / video
        folder.mkdir(parents=True)
        for index in range(1, number + 1):
            (folder / f"{index:05d}.jpg").touch()
    return tmp_path


def test_needs_the_root_alone(root):
    layout = DataLayout(str(root))
    train, val = layout.read("train"), layout.read("val")
    assert layout.label_names() == NAMES
    assert (train.paths, train.labels) == (("100218", "24413"), (2, 0))
    assert (val.paths, val.labels, val.split) == (("74225",), (1,), "val")
    assert train.path(0) == str(root / "20bn-something-something-v1" / "100218")
    assert DataLayout(str(root), annotation_format="ssv1").read("train") == train


def test_without_public_test_labels_the_validation_split_is_tested_on(root):
    test = DataLayout(str(root)).read("test")
    assert (test.paths, test.split) == (("74225",), "val")


def test_annotations_may_be_in_a_separate_folder(root):
    (root / "annotations").mkdir()
    for file in root.glob("*.csv"):
        file.rename(root / "annotations" / file.name)
    assert DataLayout(str(root)).read("train").labels == (2, 0)


def test_a_lost_list_of_templates_is_asked_for(root):
    (root / "something-something-v1-labels.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no something-something-v1-labels.csv in .*set"):
        DataLayout(str(root)).read("train")


@pytest.mark.parametrize("line", [";Holding something", "3;Holding something;4"])
def test_a_line_that_reads_otherwise_is_named(root, line):
    source = root / "something-something-v1-train.csv"
    source.write_text(f"24413;Holding something\n{line}\n")
    assert detect_format(source).name == "ssv1"
    with pytest.raises(ValueError, match=rf"reads '{line}' at line 2; a line must be 'id;label'"):
        DataLayout(str(root)).read("train")
