"""``pks4 data split``: the data module finds the lists that it writes."""

import csv
import shutil

import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.data.annotations.layout import DataLayout

SPLITS = ("train", "val", "test")


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def split(*arguments):
    return main(["data", "split", *map(str, arguments)])


def read(root, **options):
    layout = DataLayout(str(root), **options)
    names = layout.label_names()
    found = {}
    for name in SPLITS:
        videos = layout.read(name)
        assert videos.split == name
        found[name] = {
            path: names[label] for path, label in zip(videos.paths, videos.labels, strict=True)
        }
    return found


def error_of(capsys):
    return capsys.readouterr().err.strip().splitlines()[-1]


CLASSES = {
    "words": ("jump", "run"),
    "digits": ("1", "2", "3"),
    "years": ("2019", "2020"),
    "dates": ("20210405", "20210406"),
    "zeros": ("007", "010"),
    "numbered": ("01 jump", "02 run"),
    "signs": ("#1", "a, b", "café"),
    "negative": ("-1", "0"),
    "quoted": ('"run"', "'walk'", 'say "hi", now'),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_class_folders_are_dealt_into_lists_that_are_found(tmp_path, kind, caplog):
    names = CLASSES[kind]
    videos = [f"{name}/clip {number}, b.mp4" for name in names for number in range(20)]
    touch(tmp_path, *videos)
    with caplog.at_level("INFO"):
        assert split(tmp_path) == 0
    found = read(tmp_path)
    assert DataLayout(str(tmp_path)).label_names() == list(names)
    assert [len(found[name]) for name in SPLITS] == [16 * len(names), *(2 * len(names),) * 2]
    assert sorted(path for part in found.values() for path in part) == sorted(videos)
    assert all(
        path.split("/")[0] == label for part in found.values() for path, label in part.items()
    )
    assert f"train.csv: {16 * len(names)} videos" in caplog.text


def test_a_seed_repeats_itself(tmp_path):
    touch(tmp_path / "one", *(f"{name}/{number}.mp4" for name in "ab" for number in range(30)))
    for other in ("two", "three"):
        shutil.copytree(tmp_path / "one", tmp_path / other)
    for name, seed in {"one": 1, "two": 1, "three": 2}.items():
        assert split(tmp_path / name, "--seed", seed) == 0
    assert read(tmp_path / "one") == read(tmp_path / "two") != read(tmp_path / "three")


def test_people_with_folders_of_their_own_stay_together(tmp_path):
    touch(tmp_path, *(f"{name}/person {number % 12}/{number}.mp4"
                      for name in ("jump", "run") for number in range(60)))  # fmt: skip
    assert split(tmp_path, "--group", "folder", "--val", 0.25, "--test", 0.25) == 0
    people = [{path.split("/")[1] for path in part} for part in read(tmp_path).values()]
    assert sum(map(len, people)) == 12
    assert [len(part) for part in people] == [6, 3, 3]


def test_a_table_is_grouped_by_its_column_and_keeps_its_numbers(tmp_path):
    rows = [(f"clips/{number}.mp4", number % 3, f"s{number % 10}") for number in range(90)]
    touch(tmp_path, *(path for path, _, _ in rows))
    with (tmp_path / "all.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "Scene"), *rows])
    arguments = ("--data.train", "all.csv", "--group", "scene", "--test", 0, "--val", 0.2)
    assert split(tmp_path, *arguments) == 0
    layout = DataLayout(str(tmp_path))
    train, val = layout.read("train"), layout.read("val")
    assert layout.label_names() == ["0", "1", "2"]
    assert len(train) + len(val) == 90
    scene_of = {path: scene for path, _, scene in rows}
    assert {scene_of[path] for path in train.paths}.isdisjoint(scene_of[p] for p in val.paths)
    assert layout.read("test").split == "val", "without test videos the validation split is scored"


def test_any_label_of_a_table_makes_the_round_trip(tmp_path):
    labels = ["left\nturn", 'say "hi", now', "'walk'", '"run"', "a, b", "#1", "it's", "0 fingers"]
    rows = [(f"clips/{number}.mp4", labels[number % len(labels)]) for number in range(80)]
    touch(tmp_path, *(path for path, _ in rows))
    with (tmp_path / "all.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    assert split(tmp_path, "--data.train", "all.csv") == 0
    found = read(tmp_path)
    assert {path: label for part in found.values() for path, label in part.items()} == dict(rows)


def test_training_folders_without_validation_can_be_dealt(tmp_path):
    touch(tmp_path, *(f"train/{name}/{number}.mp4" for name in "ab" for number in range(10)))
    with pytest.raises(
        FileNotFoundError, match=r"of the val split .*split \S+ --data.train train`"
    ):
        DataLayout(str(tmp_path)).read("val")
    assert split(tmp_path, "--data.train", "train") == 0
    assert {path.split("/")[0] for path in read(tmp_path)["val"]} == {"train"}


def test_the_refusal_of_a_training_names_the_command(tmp_path):
    touch(tmp_path, "jump/1.mp4", "run/x/2.mp4")
    with pytest.raises(FileNotFoundError, match=rf"train split .*`pks4 data split {tmp_path}`"):
        DataLayout(str(tmp_path)).read("train")
    (tmp_path / "empty" / "notes").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"set data.train\.$"):
        DataLayout(str(tmp_path / "empty")).read("train")


def test_existing_lists_are_never_replaced(tmp_path, capsys):
    touch(tmp_path, "a/1.mp4", "a/2.mp4", "a/3.mp4")
    (tmp_path / "val.csv").write_text("mine")
    assert split(tmp_path) == 1
    assert "val.csv' already exists; move it away" in error_of(capsys)
    assert (tmp_path / "val.csv").read_text() == "mine"
    assert not (tmp_path / "train.csv").exists()


@pytest.mark.parametrize(
    ("splits", "found", "kind"),
    [
        (("train", "val"), "train", "train split (folder)"),
        (("train", "test"), "train", "train split (folder)"),
        (("train",), "train", "train split (folder)"),
        (("validation",), "validation", "val split (folder)"),
    ],
)
def test_folders_of_splits_are_not_dealt_as_classes(tmp_path, capsys, splits, found, kind):
    names = [f"{part}/{label}/{number}.mp4"
             for part in splits for label in "ab" for number in range(10)]  # fmt: skip
    touch(tmp_path, *names)
    assert split(tmp_path) == 1
    error = error_of(capsys)
    assert f"'{tmp_path}' already has splits: '{tmp_path / found}' is read as its {kind}" in error
    assert f"with --data.train {found}, or with --data.train . if" in error
    assert {path.name for path in tmp_path.iterdir()} == {*splits}
    assert split(tmp_path, "--data.train", ".") == 0, "all folders may be classes"


@pytest.mark.parametrize("content", ["path,label\n", "path,label,split\n"])
def test_a_table_that_a_training_would_find_must_be_named(tmp_path, capsys, content):
    touch(tmp_path, *(f"clips/{number}.mp4" for number in range(20)))
    more = ",train" * content.count("split")
    rows = "".join(f"clips/{number}.mp4,{'ab'[number % 2]}{more}\n" for number in range(20))
    (tmp_path / "metadata.csv").write_text(content + rows)
    assert split(tmp_path) == 1
    assert "with --data.train metadata.csv, or" in error_of(capsys)
    assert split(tmp_path, "--data.train", "metadata.csv") == 0
    assert set(DataLayout(str(tmp_path)).label_names()) == {"a", "b"}


@pytest.mark.parametrize(
    ("header", "row", "sentence"),
    [
        ("path,label,split", "{0}.mp4,x,{1}", "already has splits, and 4 of its 12 rows are not"),
        ("path,label,fold", "{0}.mp4,x,{1}", None),
        ("video,start,end,label", "a.mp4,{0},{0}.5,x", "gives times within videos"),
    ],
)
def test_nothing_that_a_table_says_is_dropped(tmp_path, capsys, header, row, sentence):
    rows = [row.format(number, "val" if number % 3 == 0 else "train") for number in range(12)]
    (tmp_path / "clips.csv").write_text("\n".join([header, *rows]))
    assert split(tmp_path, "--data.train", "clips.csv") == (sentence is not None)
    if sentence:
        assert f"clips.csv' {sentence}" in error_of(capsys)
    assert (tmp_path / "train.csv").exists() == (sentence is None)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--val", 0.6, "--test", 0.4], "--val 0.6 and --test 0.4 are not valid shares"),
        (["--val", 0], "--val 0 and --test 0.1 are not valid shares"),
        (["--group", "folder"], "--group folder groups by folders below the class folders"),
        (["--group", "person"], "--group person names a column, but '"),
        (
            ["--data.train", "all.csv", "--group", "who"],
            "has no column 'who' to group by; its columns are",
        ),
        (["--data.train", "all.csv", "--group", "one"], "1 groups, 1 of which hold all"),
        (["--data.train", "gone.csv"], "data.train names '"),
        (
            ["--data.format", "ssv2", "--data.train", "all.csv"],
            "is read as ssv2, which already has splits",
        ),
    ],
)
def test_user_errors_are_one_sentence(tmp_path, capsys, arguments, sentence):
    touch(tmp_path, *(f"a/{number}.mp4" for number in range(9)))
    rows = "".join(f"a/{number}.mp4,x,1\n" for number in range(9))
    (tmp_path / "all.csv").write_text("path,label,one\n" + rows)
    assert split(tmp_path, *arguments) == 1
    assert sentence in error_of(capsys)
    assert not (tmp_path / "train.csv").exists()
