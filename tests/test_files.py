"""Files shipped with the package, and atomic writing of tables."""

import ast
import json

import pytest

from pks4_lightning.files import (
    RECORD,
    atomic_write,
    find_packaged,
    remove_leftovers,
    replaced_folder,
    write_csv,
    write_json,
)
from tests.conftest import ROOT

WEIGHTS = "pks4_lightning/demo/tiny_clip/weights"
TEXT = {"open": 0, "read_text": 0, "write_text": 1}
"""Functions for text files, and their arguments before the encoding."""
OTHERS = {"av", "Image", "os", "Results"}
"""Their `open` is another one."""


def test_files_of_the_package_are_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_packaged(WEIGHTS) == str(ROOT / WEIGHTS)
    (tmp_path / WEIGHTS).mkdir(parents=True)
    assert find_packaged(WEIGHTS) == WEIGHTS, "one below the current folder wins"


@pytest.mark.parametrize(
    "path", ["openai/clip-vit-base-patch16", "/data/tower", "pks4_lightning_b"]
)
def test_other_paths_and_hub_ids_stay_as_they_are(path):
    assert find_packaged(path) == path


def test_a_table_that_cannot_be_finished_leaves_the_old_one(tmp_path):
    path = tmp_path / "table.csv"
    write_csv(path, ["a", "b"], [[1, "x, y"]])
    assert path.read_text() == 'a,b\n1,"x, y"\n'

    def lines():
        yield [2, "z"]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_csv(path, ["a", "b"], lines())
    assert path.read_text() == 'a,b\n1,"x, y"\n'
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_ascii_and_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "new" / "report.json"
    write_json(path, {"class": "tür, öffnen", "shares": [0.5, 1]})
    before = path.read_bytes()
    assert json.loads(before.decode("ascii")) == {"class": "tür, öffnen", "shares": [0.5, 1]}
    assert before.endswith(b"}\n")
    with pytest.raises(TypeError):
        write_json(path, {"class": object()})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["v" * 251 + ".png", "ü" * 125 + "x.png", "a." + "b" * 253])
def test_a_file_may_have_the_longest_name_that_there_is(tmp_path, name):
    with atomic_write(tmp_path / name) as path:
        path.write_text("a picture")
        assert path.suffix == ".png" or "b" * 253 in name
    path.write_text("what a kill leaves behind")
    remove_leftovers(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "a picture"


def write_folder(folder, **texts):
    with replaced_folder(folder) as unfinished:
        for name, text in texts.items():
            (unfinished / name).write_text(text)


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != RECORD}


def test_a_folder_of_unchanged_files_is_replaced(tmp_path):
    write_folder(tmp_path / "out", card="one", labels="up")
    write_folder(tmp_path / "out", card="two")
    assert contents(tmp_path / "out") == {"card": "two"}
    with pytest.raises(RuntimeError), replaced_folder(tmp_path / "out"):
        raise RuntimeError
    assert contents(tmp_path / "out") == {"card": "two"}
    write_folder(tmp_path / "out", card="three")
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


@pytest.mark.parametrize("name", ["card", "notes"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_file_that_was_not_written_is_never_replaced(tmp_path, name, is_first):
    if not is_first:
        write_folder(tmp_path, card="ours")
    (tmp_path / name).write_text('{"my": "own"}')
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match="would be lost, and is not known"):
        write_folder(tmp_path, card="new")
    assert contents(tmp_path) == before
    assert (tmp_path / name).read_text() == '{"my": "own"}'


def test_a_record_from_elsewhere_removes_nothing_outside_its_folder(tmp_path):
    (tmp_path / "mine").write_text("years of work")
    out = tmp_path / "out"
    write_folder(out, card="ours")
    record = json.loads((out / RECORD).read_text())
    (out / RECORD).write_text(json.dumps({**record, "../mine": "0"}))
    write_folder(out, card="new")
    assert (tmp_path / "mine").read_text() == "years of work"


def test_every_text_file_of_the_package_has_an_encoding():
    """Ruff's PLW1514 sees only paths whose type it can infer."""
    without = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in sorted((ROOT / "pks4_lightning").rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and leaves_encoding_to_the_locale(call)
    ]
    assert without == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("path.open()", True),
        ("(folder / name).open('w', newline='')", True),
        ("open(path, mode='a')", True),
        ("path.read_text(errors='replace')", True),
        ("path.write_text(text)", True),
        ("path.open('rb')", False),
        ("path.open('w', encoding='utf-8')", False),
        ("path.read_text('utf-8')", False),
        ("av.open(path)", False),
    ],
)
def test_a_missing_encoding_is_found(source, expected):
    assert leaves_encoding_to_the_locale(ast.parse(source).body[0].value) == expected


def leaves_encoding_to_the_locale(call):
    """Whether a call opens, reads or writes a file as text without naming an encoding."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    owner = getattr(getattr(call.func, "value", None), "id", "")
    if name not in TEXT or owner in OTHERS or any(key.arg == "encoding" for key in call.keywords):
        return False
    if name != "open":
        return len(call.args) <= TEXT[name]
    place = 1 if isinstance(call.func, ast.Name) else 0
    modes = [key.value for key in call.keywords if key.arg == "mode"] + call.args[place : place + 1]
    return not any("b" in mode.value for mode in modes if isinstance(mode, ast.Constant))
