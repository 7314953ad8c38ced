"""Tables in a pipe, where the terminal has no width."""

import pytest

from pks4_lightning.tables import new_table, print_tables
from tests.conftest import ROOT

PATH = "a_long_name_of_a_video/" * 4 + "clip.mp4"


@pytest.fixture
def table():
    table = new_table("title", caption="caption")
    table.add_column("video")
    table.add_column("top-1 %")
    table.add_row(PATH, "71.2")
    return table


def test_a_pipe_has_room_for_120_columns(table, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    print_tables(table, "A sentence.")
    title, *lines = capsys.readouterr().out.splitlines()
    assert title.rstrip() == "title"
    assert any(PATH in line for line in lines)
    assert lines[-1] == "A sentence."


def test_the_environment_may_set_another_width(table, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    print_tables(table)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    assert not any(PATH in line for line in lines)


def test_all_tables_are_printed_in_this_width():
    """Only `data check` has a console of its own, for sentences that no width may break."""
    others = {
        path.relative_to(ROOT / "pks4_lightning").as_posix()
        for path in (ROOT / "pks4_lightning").rglob("*.py")
        if "Console()" in path.read_text(encoding="utf-8")
    }
    assert others == {"tables.py", "commands/data/check.py"}
