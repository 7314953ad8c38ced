import os
import shutil
import subprocess
import sys

import pytest

from pks4_lightning.data.loading.memory_check import check_cores, check_memory, check_shared_memory
from tests.conftest import ROOT


def test_bytes_in_flight_are_those_of_the_batches():
    number = check_memory("train", clips=16, num_frames=16, frame_size=224, prefetched=8)
    assert number == 9 * 16 * 16 * 224 * 224 * 3


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no shared memory to look at")  # noqa: PTH112
def test_batches_larger_than_shared_memory_are_refused_with_a_remedy():
    needed = {"train": 2**60, "val": 2**59}
    with pytest.raises(ValueError, match="The train and val batches of 4 workers") as caught:
        check_shared_memory(needed, num_workers=4, ranks=1)
    assert str(2**60 + 2**59) in str(caught.value)
    assert "--shm-size 1610612737g" in str(caught.value)
    check_shared_memory(needed, num_workers=0, ranks=1)
    check_shared_memory({"train": 1}, num_workers=4, ranks=1)


def mounted_small(*command):
    """Run a command with as little shared memory as Docker's default."""
    script = 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$0" "$@"'
    return ["unshare", "-m", "sh", "-c", script, *command]


def can_mount():
    return shutil.which("unshare") and not subprocess.run(mounted_small("true")).returncode


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount a file system")
def test_a_training_with_dockers_shared_memory_is_refused_at_the_start(tiny_args, tmp_path):
    large = ["--data.num_frames=16", "--data.frame_size=224", "--data.resize=256"]
    workers = ["--data.batch_size=16", "--data.num_workers=4"]
    folder = f"--trainer.default_root_dir={tmp_path / 'run'}"
    command = [sys.executable, "-m", "pks4_lightning", "fit", *tiny_args, *large, *workers, folder]
    run = subprocess.run(
        mounted_small(*command), capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert run.returncode == 1
    said = run.stderr.splitlines()[-1]
    assert said.startswith("pks4: error: The train and val batches of 4 workers need ")
    assert "/dev/shm has 64 MiB free" in said
    assert not (tmp_path / "run").exists()


def test_more_workers_than_cores_are_mentioned_once(caplog):
    check_cores.cache_clear()
    with caplog.at_level("INFO", logger="pks4_lightning"):
        for _ in range(2):
            check_cores(10_000, ranks=2)
        check_cores(0, ranks=8)
    (line,) = caplog.messages
    assert line.startswith("data.num_workers is 10000 of each of 2 ranks, but this machine has ")
