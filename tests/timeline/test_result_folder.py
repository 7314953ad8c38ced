"""The journal of a folder with results of many videos."""

import pytest

from pks4_lightning.timeline.result_folder import ResultFolder


def _finished(folder, *, resume, made_by=None):
    made_by = {"num_frames": 8} if made_by is None else made_by
    with ResultFolder.locked(folder, made_by=made_by, resume=resume, what="rows") as made:
        return made.finished


@pytest.fixture
def journal(tmp_path):
    with ResultFolder.locked(tmp_path, made_by={"num_frames": 8}, resume=False, what="rows") as it:
        it.finish("a.mp4", {"rows": 3})
        it.finish("b.mp4", {"rows": 4})
    return tmp_path / "videos.jsonl"


@pytest.mark.parametrize(
    "damage", ["\0" * 20, '{"video": "a', "[]", "3", '{"video": "a.mp4"}', '{"name": "a"}']
)
def test_a_damaged_line_is_named_with_the_way_out(journal, damage):
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([lines[0], damage, *lines[2:]]) + "\n")
    with pytest.raises(ValueError, match=r"videos\.jsonl, line 2, is damaged.* computed again"):
        _finished(journal.parent, resume=True)
    journal.write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    assert [*_finished(journal.parent, resume=True)] == ["b.mp4"]


def test_a_line_that_a_kill_left_incomplete_is_removed(journal):
    whole = journal.read_text()
    journal.write_text(whole + whole[:30])
    assert [*_finished(journal.parent, resume=True)] == ["a.mp4", "b.mp4"]
    assert journal.read_text() == whole


@pytest.mark.parametrize("stem", ["v" * 251, "ü" * 125])
def test_the_names_of_results_fit_whatever_the_videos_are_called(tmp_path, stem):
    videos = [f"/{folder}/{stem}.mp4" for folder in ("a", "b", "b/c", "d" * 255)]
    with ResultFolder.locked(tmp_path, made_by={}, resume=False, what="rows") as made:
        names = [made.name_of(video) for video in videos]
        names += [made.name_of(f"/a/{stem}.{number}") for number in range(12)]
    assert len({*names}) == len(names) == 16
    for name in names:
        (tmp_path / f"{name}.npy.part").write_bytes(name.encode())


def test_a_video_is_known_under_every_spelling_of_its_path(tmp_path, monkeypatch):
    videos, out = tmp_path / "videos", tmp_path / "out"
    videos.mkdir()
    monkeypatch.chdir(tmp_path)
    with ResultFolder.locked(out, made_by={}, resume=False, what="rows") as made:
        made.finish("videos/a.mp4", {"rows": 3})
        made.name_of("videos/b.mp4")
    monkeypatch.chdir(videos)
    with ResultFolder.locked(out, made_by={}, resume=True, what="rows") as made:
        for path in ("a.mp4", "../videos/a.mp4", f"{videos}/a.mp4", "videos/a.mp4"):
            assert made.entry(path) == {"name": "a", "is_finished": True, "rows": 3}
        made.finish("b.mp4", {"rows": 4})
    assert [*_finished(out, resume=True, made_by={})] == ["videos/a.mp4", "videos/b.mp4"]


def test_a_journal_without_absolute_paths_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = '{"video": "a.mp4", "name": "a", "is_finished": true, "rows": 3}\n'
    (tmp_path / "videos.jsonl").write_text(line)
    (tmp_path / "made_by.json").write_text("{}")
    with ResultFolder.locked(tmp_path, made_by={}, resume=True, what="rows") as made:
        assert made.entry(str(tmp_path / "a.mp4"))["rows"] == 3
