"""One of two ranks dies, stops, hangs or raises: all processes end, and the cause is reported."""

import re
import signal
import time

import pytest

FAULTS = "tests.reliability.faults"
TIMEOUT = 15
PATIENCE = 90
"""Seconds, with a large margin for a busy machine."""


def statuses_of(ranks):
    """Wait for all ranks; fail if a process (a data worker or a stopped rank) is left."""
    statuses = [rank.wait(PATIENCE) for rank in ranks]
    deadline = time.monotonic() + 30
    while left := [pid for rank in ranks for pid in rank.family()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    return statuses


@pytest.mark.parametrize(
    ("fault", "said", "stalls"),
    [
        ("worker_killed", r"DataLoader worker|data worker died", False),
        ("rank_killed", r"(closed|reset) by peer", False),
        ("exception_in_forward", r"planted in the forward pass", False),
        ("sleep_in_dataset", r"in sleep_for_ever", True),
        ("rank_stopped", rf"rank 0 of 2 has completed no batch for {TIMEOUT} seconds", True),
    ],
)
def test_all_processes_end_with_a_cause(launcher, tiny_args, tmp_path, record, fault, said, stalls):
    ranks = launcher.start_ranks(
        "fit",
        *tiny_args,
        "--trainer.max_epochs=500",
        "--trainer.devices=2",
        f"--trainer.default_root_dir={tmp_path / 'run'}",
        f"--watchdog.timeout={TIMEOUT if stalls else 300}",
        f"--data.num_workers={int(fault == 'worker_killed')}",
        prepare=f"{FAULTS}:{fault}",
        folder=str(tmp_path),
        rank=1,
        step=3,
    )
    ranks[1].wait_until((tmp_path / "fired").exists)
    start = time.monotonic()
    statuses = statuses_of(ranks)
    seconds = time.monotonic() - start
    assert 0 not in statuses, statuses
    outputs = "".join(rank.text() for rank in ranks)
    assert re.search(said, outputs), outputs[-3000:]
    if stalls:
        assert statuses == [75, -signal.SIGKILL], "ended by its watchdog, and by the first one's"
        assert "File" in (tmp_path / "run" / "stalled_rank0.txt").read_text()
    record(f"fault on rank 1 of 2: {fault}", **{"seconds to the end": round(seconds, 1)})


def test_a_stalled_run_names_the_video_that_a_worker_is_at(launcher, tiny_args, tmp_path):
    process = launcher.start(
        "fit",
        *tiny_args,
        f"--trainer.default_root_dir={tmp_path / 'run'}",
        "--watchdog.timeout=30",  # starting a worker can be slow on a busy machine
        "--data.num_workers=1",
        "--data.worker_timeout=1000",
        prepare=f"{FAULTS}:sleep_in_worker",
        folder=str(tmp_path),
        rank=0,
        step=3,
    )
    process.wait_until((tmp_path / "fired").exists)
    assert statuses_of([process]) == [75], process.text()
    named = re.search(r"A data worker is at '(.+)'", process.text())
    assert named, process.text()
    assert named[1].endswith(".webm"), named[1]
    assert named[0] in (tmp_path / "run" / "stalled_rank0.txt").read_text()


def test_data_workers_do_not_outlive_a_trainer_that_is_killed(launcher, tiny_args, tmp_path):
    process = launcher.start(
        "fit",
        *tiny_args,
        "--data.num_workers=2",
        "--trainer.max_epochs=500",
        f"--trainer.default_root_dir={tmp_path / 'run'}",
    )
    process.wait_until((tmp_path / "run" / "checkpoints" / "last.ckpt").exists)
    assert len(process.family()) >= 4, "trainer, fork server, two workers"
    process.send(signal.SIGKILL)
    assert statuses_of([process]) == [-signal.SIGKILL]


def test_undecodable_videos_of_one_rank_end_all_ranks_with_its_sentence(
    launcher, motion_set, tiny_args, tmp_path
):
    ranks = launcher.start_ranks(
        "fit",
        *tiny_args,
        "--trainer.devices=2",
        f"--trainer.default_root_dir={tmp_path / 'run'}",
        prepare=f"{FAULTS}:undecodable",
        rank=1,
    )
    assert statuses_of(ranks) == [1, 1]
    sentence = r"pks4: error: 3 of 16 training videos cannot be decoded.*'1': planted"
    for rank in ranks:
        assert re.search(sentence, rank.text()), rank.text()
        assert "Traceback" not in rank.text()
