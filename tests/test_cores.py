import os

import pytest

from pks4_lightning import cores


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000", 3),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("900000 100000", 3),
        (None, 3),
    ],
)
def test_the_cores_are_those_of_the_container(monkeypatch, tmp_path, limit, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(cores, "_LIMIT", tmp_path / "cpu.max")
    if limit is not None:
        (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert cores.num_cores() == expected
