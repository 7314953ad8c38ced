"""Files shipped with the package, and atomic writing of tables."""

import pytest

from pks4_lightning.files import atomic_write, find_packaged, remove_leftovers, write_csv
from tests.conftest import ROOT

WEIGHTS = "pks4_lightning/demo/tiny_clip/weights"


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


@pytest.mark.parametrize("name", ["v" * 251 + ".png", "ü" * 125 + "x.png", "a." + "b" * 253])
def test_a_file_may_have_the_longest_name_that_there_is(tmp_path, name):
    with atomic_write(tmp_path / name) as path:
        path.write_text("a picture")
        assert path.suffix == ".png" or "b" * 253 in name
    path.write_text("what a kill leaves behind")
    remove_leftovers(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "a picture"
