"""Folders that cannot be written to are reported in one sentence before any work."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT, TINY

SLOW = pytest.mark.slow  # starts a process per test


def read_only(folder, *command):
    """Run a command for which a folder and its contents are on a read-only file system."""
    mount = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}"
    script = f'{mount} && cd {folder} && exec "$0" "$@"'
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def can_mount(folder):
    return shutil.which("unshare") and not read_only(folder, "true").returncode


@pytest.fixture(scope="module")
def place(trained, motion_set, tmp_path_factory):
    """A folder with a finished run and a video whose name begins with a dash."""
    folder = tmp_path_factory.mktemp("read_only")
    if not can_mount(folder):
        pytest.skip("needs the right to mount a file system")
    shutil.copytree(trained, folder / "run")
    shutil.copy(motion_set / "videos" / "1.webm", folder / "-0IErS_cisg.webm")
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["test"], "No results can be written to {place}/new/test: Read-only file system."),
        pytest.param(
            ["stretch", "--frames=4"],
            "No results can be written to {place}/new/stretch: Read-only",
            marks=SLOW,
        ),
        pytest.param(["retrieve"], "Read-only file system: {place}/new", marks=SLOW),
        pytest.param(
            ["predict", "--data.predict", "-0IErS_cisg.webm"],
            "No predictions can be written to {place}/new/",
            marks=SLOW,
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_unwritable_result_folders_are_refused_before_the_work(place, arguments, words):
    arguments = [each.format(place=place) for each in arguments]
    checkpoint = f"--ckpt_path={place / 'run' / 'checkpoints' / 'best.ckpt'}"
    root = f"--trainer.default_root_dir={place / 'new'}"
    command = [sys.executable, "-m", "pks4_lightning", *arguments, checkpoint, root]
    run = read_only(place, *command)
    assert run.returncode == 1
    said = run.stderr.splitlines()[-1]
    assert said.startswith(f"pks4: error: {words.format(place=place)}")
    assert "batch" not in run.stderr, "no video was looked at"


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["data", "show", "{videos}", "--config", "{config}"], marks=SLOW),
        pytest.param(["data", "check", "{videos}", "--config", "{config}"], marks=SLOW),
        pytest.param(["cost", "--config", "{config}", "--scaling"], marks=SLOW),
    ],
)
def test_unwritable_figure_folders_are_refused_before_the_work(command, place, motion_set):
    places = {"videos": motion_set, "config": TINY}
    words = [each.format(**places) for each in command]
    out = place / "new" / "picture.png"
    run = read_only(place, sys.executable, "-m", "pks4_lightning", *words, "--out", out)
    assert run.returncode == 1
    said = f"pks4: error: No picture can be written to {out.parent}: Read-only file system."
    assert said in run.stderr
    assert not run.stdout


def test_a_missing_folder_for_temporary_files_is_reported(tmp_path):
    script = "for place in /tmp /var/tmp; do mount -t tmpfs -o ro tmpfs $place; done"
    if not can_mount(tmp_path):
        pytest.skip("needs the right to mount a file system")
    command = f'cd /proc && {script} && exec "$0" -m pks4_lightning cost --config ssv2'
    run = subprocess.run(
        ["unshare", "-m", "sh", "-c", command, sys.executable],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": "/tmp"},
    )
    if not run.returncode:
        pytest.skip("there is another place for temporary files")
    said = run.stderr.splitlines()[-1]
    assert said.startswith("pks4: error: No usable temporary directory found in ")
    assert said.endswith("; set TMPDIR to a folder that can be written to.")
