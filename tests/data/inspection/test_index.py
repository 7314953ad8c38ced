"""The indexer on whole and damaged files, and on files that crash or block a process."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from pks4_lightning.data.inspection.index import index_files
from pks4_lightning.data.inspection.manifest import default_manifest, quarantine_path, read_manifest
from pks4_lightning.data.inspection.probe import probe_file
from pks4_lightning.locks import hold_lock
from tests.helpers.corpus import BASES, NUM_FRAMES, all_frames, damaged_files, mutations, write_clip


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """The six base clips."""
    folder = tmp_path_factory.mktemp("originals")
    for base in BASES:
        write_clip(folder / base, base)
    return folder


@pytest.fixture
def clips(tmp_path):
    """A folder of ten whole clips, 0.mp4 to 9.mp4."""
    for number in range(10):
        write_clip(tmp_path / f"{number}.mp4", "bframes.mp4", seed=number)
    return tmp_path


def index(root, **options):
    paths = options.pop("paths", None) or sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and ".pks4" not in path.parts
    )
    records = index_files(root, paths, default_manifest(root), num_workers=2, **options)
    return {record.path: record for record in records}


@pytest.mark.parametrize("base", BASES)
def test_a_whole_file_is_described(originals, base):
    record = probe_file(originals, base)
    assert (record.status, record.reason) == ("ok", "")
    assert record.num_frames == NUM_FRAMES
    assert (record.width, record.height, record.rotation) == (96, 96, 0)
    assert record.pix_fmt == BASES[base][1]
    assert record.codec in ("h264", "vp9", "mpeg4", "hevc")
    assert record.keyframes[0] == 0
    assert record.duration == pytest.approx(2.0, abs=0.01)
    assert record.size == (originals / base).stat().st_size
    assert len(record.sha256) == 64


def test_equal_time_stamps_have_equal_digests(originals):
    one, same, other = (
        probe_file(originals, base).pts_digest for base in ("bframes.mp4", "full.mp4", "vp9.webm")
    )
    assert one == same != other


def probe_all_damaged(folder, originals, seed):
    """Return for each damaged file whether its frames differ, and its record."""
    whole = {base: all_frames(originals / base) for base in BASES}
    results = []
    for path in damaged_files(folder, originals, seed=seed):
        base = next(b for b in BASES if path.name.startswith(f"{Path(b).stem}-"))
        results.append((all_frames(path) != whole[base], probe_file(folder, path.name)))
    return results


def named_share(results):
    statuses = [record.status for differs, record in results if differs]
    return sum(status != "ok" for status in statuses) / len(statuses)


def test_most_damage_is_named_without_knowing_the_originals(originals, tmp_path):
    results = probe_all_damaged(tmp_path / "damaged", originals, seed=0)
    assert len(results) == 6 * len(mutations()) == 234
    assert named_share(results) >= 0.85
    assert all(record.reason for _, record in results if record.status != "ok")
    # files that decode to the same frames are not reported as damaged
    assert [record for differs, record in results if not differs and record.status != "ok"] == []
    assert any(not differs for differs, _ in results)


@pytest.mark.slow
def test_most_damage_is_named_for_any_seed(originals, tmp_path):
    results = []
    for seed in range(1, 9):
        results += probe_all_damaged(tmp_path / str(seed), originals, seed=seed)
    assert len(results) == 8 * 234
    assert named_share(results) >= 0.85


@pytest.mark.slow
def test_no_whole_file_is_called_damaged(tmp_path):
    for base in BASES:
        for seed in range(50):
            path = write_clip(tmp_path / f"{seed}-{base}", base, seed=seed)
            assert probe_file(tmp_path, path.name).status == "ok"


def test_all_damage_is_named_where_the_originals_were_indexed(originals, tmp_path):
    sources = {}
    for base in BASES:
        for name in mutations():
            path = tmp_path / f"{Path(base).stem}-{name}{Path(base).suffix}"
            shutil.copyfile(originals / base, path)
            sources[path.name] = base
    for number in range(60):
        write_clip(tmp_path / f"good-{number}.mp4", "bframes.mp4", seed=number)
    assert {record.status for record in index(tmp_path).values()} == {"ok"}
    assert {path.name for path in damaged_files(tmp_path, originals)} == set(sources)
    records = index(tmp_path)
    assert len(records) == 294
    assert {name for name, record in records.items() if record.status != "ok"} == set(sources)
    quarantine = quarantine_path(default_manifest(tmp_path)).read_text().splitlines()
    listed = [json.loads(line) for line in quarantine]
    assert sorted(entry["path"] for entry in listed) == sorted(sources)
    assert all(entry["reason"] for entry in listed)


def test_kinds_of_faults_are_distinguished(tmp_path, originals, write_video):
    data = (originals / "vp9.webm").read_bytes()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "page.mp4").write_text("<html></html>" * 100)
    (tmp_path / "half.webm").write_bytes(data[: len(data) // 2])
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile 'vp9.webm'\n")
    shutil.copyfile(originals / "vp9.webm", tmp_path / "vp9.webm")
    (tmp_path / "cut.mp4").write_bytes((originals / "faststart.mp4").read_bytes()[:-2000])
    records = index(tmp_path, paths=[path.name for path in tmp_path.iterdir()] + ["gone.mp4"])
    assert {name: record.status for name, record in records.items()} == {
        "cut.mp4": "truncated",
        "empty.mp4": "unreadable",
        "gone.mp4": "missing",
        "half.webm": "truncated",
        "list.mp4": "disallowed_format",
        "page.mp4": "unreadable",
        "vp9.webm": "ok",
    }
    assert records["empty.mp4"].reason == "the file is empty"
    assert records["cut.mp4"].reason == "its end is missing: it stops in the middle of a frame"
    assert records["half.webm"].reason.startswith(
        "its end is missing: its header promises 2.00 seconds and it ends at"
    )


PROBE = """
import os, signal, time
from pks4_lightning.data.inspection.probe import probe_file

def probe(root, path):
    if path in ("3.mp4", "7.mp4"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if path == "5.mp4":
        time.sleep(600)
    if path == "6.mp4":
        os._exit(9)
    return probe_file(root, path)
"""


def test_crashing_and_endless_files_end_only_their_own_process(
    clips, tmp_path_factory, monkeypatch
):
    # a module imported by the indexer's processes, so that its faults happen there
    folder = tmp_path_factory.mktemp("module")
    (folder / "faulty_probe.py").write_text(PROBE)
    monkeypatch.syspath_prepend(folder)
    probe = __import__("faulty_probe").probe
    records = index(clips, probe=probe, timeout=3.0)
    bad = {name: record for name, record in records.items() if record.status != "ok"}
    assert {name: record.status for name, record in bad.items()} == {
        "3.mp4": "crashed",
        "5.mp4": "timeout",
        "6.mp4": "crashed",
        "7.mp4": "crashed",
    }
    assert bad["3.mp4"].reason == "its decoder ended with SIGSEGV"
    assert bad["6.mp4"].reason == "its decoder ended with exit status 9"
    assert bad["5.mp4"].reason == "decoding took more than 3 seconds"
    # they are probed again; the others are not
    assert {record.status for record in index(clips).values()} == {"ok"}
    sys.modules.pop("faulty_probe")


def test_an_interrupted_index_continues_where_it_stopped(clips):
    whole = index(clips)
    manifest = default_manifest(clips)
    lines = manifest.read_text().splitlines()
    # as if killed in the sixth file; the changed records show which were kept
    marked = [json.dumps(json.loads(line) | {"codec": "kept"}) for line in lines[:5]]
    unfinished = manifest.with_name("manifest.unfinished.jsonl")
    unfinished.write_text("\n".join([*marked, lines[5][:40]]))
    manifest.unlink()
    records = index(clips)
    assert [record.codec for record in records.values()] == ["kept"] * 5 + ["h264"] * 5
    assert [r.sha256 for r in records.values()] == [r.sha256 for r in whole.values()]
    assert not unfinished.exists()
    assert read_manifest(manifest) == records


@pytest.mark.parametrize(
    "name", [b"caf\xe9.mp4", "two\u2028lines.mp4".encode(), "next\x85line.mp4".encode()]
)
def test_any_file_name_is_indexed_and_read_again(tmp_path, name):
    path = os.fsdecode(name)
    write_clip(tmp_path / path, "bframes.mp4")
    write_clip(tmp_path / "plain.mp4", "bframes.mp4", seed=1)
    records = index(tmp_path)
    assert records[path].status == "ok"
    assert index(tmp_path) == read_manifest(default_manifest(tmp_path)) == records


def test_a_smaller_selection_keeps_the_other_records(clips):
    before = index(clips)
    (clips / "9.mp4").unlink()
    assert list(index(clips, paths=["2.mp4", "4.mp4"])) == ["2.mp4", "4.mp4"]
    del before["9.mp4"]
    assert read_manifest(default_manifest(clips)) == before


def test_an_index_that_is_being_written_is_left_alone(clips):
    index(clips, paths=["1.mp4"])
    before = default_manifest(clips).read_bytes()
    with (
        hold_lock(default_manifest(clips).with_name(".manifest.jsonl.lock"), OSError()),
        pytest.raises(BlockingIOError, match="Another pks4 data index is writing '"),
    ):
        index(clips)
    assert default_manifest(clips).read_bytes() == before


def test_files_probed_by_an_earlier_version_are_probed_again(clips):
    index(clips)
    manifest = default_manifest(clips)
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    # as written by earlier versions, which counted frames differently and reported false damage
    for line in lines:
        line |= {"num_frames": 3, "status": "truncated", "reason": "wrong"}
        del line["reader"], line["mirrored"], line["pixel_aspect"]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert {(r.num_frames, r.status) for r in index(clips).values()} == {(NUM_FRAMES, "ok")}


def test_a_changed_file_is_quarantined_until_it_is_back_or_accepted(clips):
    index(clips)
    whole = (clips / "4.mp4").read_bytes()
    shutil.copyfile(clips / "5.mp4", clips / "4.mp4")
    for _ in range(2):
        record = index(clips)["4.mp4"]
        assert record.status == "hash_mismatch"
        assert record.reason == "it has changed since it was indexed"
    (clips / "4.mp4").write_bytes(whole)
    assert index(clips)["4.mp4"].status == "ok"
    shutil.copyfile(clips / "5.mp4", clips / "4.mp4")
    records = index(clips, accept_changes=True)
    assert records["4.mp4"].status == "ok"
    assert records["4.mp4"].sha256 == records["5.mp4"].sha256


def test_verifying_finds_damage_that_keeps_size_and_time(clips):
    index(clips)
    file = clips / "2.mp4"
    stat = file.stat()
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert index(clips)["2.mp4"].status == "ok"
    assert index(clips, verify=True)["2.mp4"].status == "hash_mismatch"


def test_a_line_that_is_no_record_is_named(clips):
    index(clips)
    manifest = default_manifest(clips)
    manifest.write_text(manifest.read_text() + "{}\n")
    with pytest.raises(
        ValueError, match=r"Line 11 of .* is not the record of a file; delete the manifest and run"
    ):
        read_manifest(manifest)


def test_nothing_to_index_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=f"no videos below '{tmp_path}'"):
        index_files(tmp_path, [], default_manifest(tmp_path))
