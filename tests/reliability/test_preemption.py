"""Signals at any time: all ranks end within seconds with status 143, and save a checkpoint."""

import os
import random
import signal
import socket
import time
from pathlib import Path

import pytest

from pks4_lightning.training.checkpoints.reading import read_checkpoint
from tests.reliability.test_resume import SMALL, Run

pytestmark = pytest.mark.timeout(3600)  # 90 launches of two ranks

ANNOUNCE = "tests.reliability.faults:announce_stages"
STAGES = ("start-up", "train", "validation", "saving")
TARGETS = ((0,), (1,), (0, 1))
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


def long_run(tiny_args, folder):
    """Arguments of a training that runs until a test ends it."""
    return ["fit", *tiny_args, "--trainer.max_epochs=500", f"--trainer.default_root_dir={folder}"]


def catches(process, number):
    """Return whether a process has a handler for a signal."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except FileNotFoundError:
        return False
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (number - 1) & 1)


def wait_for_stage(processes, folder, stage, rng, most=6):
    """Wait for a random moment in a stage."""
    if stage == "start-up":
        for process in processes:
            process.wait_until(lambda process=process: catches(process, signal.SIGTERM))
        time.sleep(rng.uniform(0, 1.5))
        return
    marks = folder / stage
    seen = rng.randint(1, most)
    processes[0].wait_until(lambda: marks.exists() and marks.stat().st_size >= seen)
    time.sleep(rng.uniform(0, 0.1))


def end_of(processes, folder, stage):
    """Return the seconds until all have ended; check statuses, leftover processes and files."""
    start = time.monotonic()
    statuses = [process.wait(60) for process in processes]
    seconds = time.monotonic() - start
    assert statuses == [143] * len(processes), [process.text()[-2000:] for process in processes]
    deadline = time.monotonic() + 15
    while any(process.family() for process in processes):
        assert time.monotonic() < deadline, "processes are left"
        time.sleep(0.05)
    last = folder / "run" / "checkpoints" / "last.ckpt"
    if stage != "start-up":
        assert f"saved {last}" in processes[0].text()
    if last.exists():
        assert read_checkpoint(last)["global_step"] > 0
    assert not list(last.parent.glob(".*")), "nothing half-written is left"
    return seconds


def test_two_ranks_end_together_whichever_is_signalled_and_when(
    launcher, tiny_args, tmp_path, times, record
):
    rng = random.Random(0)
    count = times(6, full=90)
    stages = [STAGES[number % 4] for number in range(count)]
    targets = [TARGETS[number % 3] for number in range(count)]
    seconds = []
    for number, (stage, targeted) in enumerate(zip(stages, targets, strict=True)):
        folder = tmp_path / str(number)
        folder.mkdir()
        ranks = launcher.start_ranks(
            *long_run(tiny_args, folder / "run"),
            "--trainer.devices=2",
            prepare=ANNOUNCE,
            folder=str(folder),
            seconds=0.05,
        )
        wait_for_stage(ranks, folder, stage, rng)
        for rank in targeted:
            ranks[rank].send(rng.choice(SIGNALS))
        seconds.append(end_of(ranks, folder, stage))
    record(
        "preemption of two ranks",
        signals=count,
        hangs=0,
        **{"seconds to the end, worst": round(max(seconds), 1)},
    )


def test_a_run_stopped_in_every_stage_and_resumed_ends_as_one_that_was_not(
    launcher, tiny_args, tmp_path, times, record
):
    rng = random.Random(0)
    args = [*tiny_args, *SMALL, "--trainer.max_epochs=5"]
    whole = Run(launcher, tmp_path / "whole", args)
    whole.finish()
    chains = times(1, full=9)
    for chain in range(chains):
        stopped = Run(launcher, tmp_path / f"stopped{chain}", args)
        for stage in STAGES[1:]:
            marks = tmp_path / f"{chain} {stage}"
            marks.mkdir()
            (process,) = stopped.launch(
                prepare="tests.reliability.faults:announce_and_trace",
                folder=str(marks),
                seconds=0.1,
            )
            wait_for_stage([process], marks, stage, rng, most=1 if stage != "train" else 3)
            process.send(rng.choice(SIGNALS))
            assert process.wait() == 143, process.text()
        stopped.finish()
        assert stopped.fingerprint() == whole.fingerprint()
        # a stop precedes the trace of its batch's loss
        (made,), (expected,) = stopped.traces(), whole.traces()
        assert made.items() <= expected.items()
        assert {what for what in expected.keys() - made.keys() if what[0] != "loss"} == set()
    record("resumed after preemption", stops=3 * chains, different=0)


@pytest.mark.parametrize("stage", STAGES)
def test_one_process_saves_and_ends(launcher, tiny_args, tmp_path, stage):
    process = launcher.start(
        *long_run(tiny_args, tmp_path / "run"), prepare=ANNOUNCE, folder=str(tmp_path), seconds=0.02
    )
    wait_for_stage([process], tmp_path, stage, random.Random(stage))
    process.send(signal.SIGUSR1)
    process.send(signal.SIGTERM)  # a second signal changes nothing
    end_of([process], tmp_path, stage)


def test_a_signal_to_all_processes_does_not_take_the_data_workers_first(
    launcher, tiny_args, tmp_path
):
    process = launcher.start(
        *long_run(tiny_args, tmp_path / "run"),
        "--data.num_workers=2",
        prepare=ANNOUNCE,
        folder=str(tmp_path),
        seconds=0.05,
    )
    wait_for_stage([process], tmp_path, "train", random.Random(0))
    family = process.family()
    assert len(family) >= 4, "trainer, fork server, two workers"
    for pid in family:
        os.kill(pid, signal.SIGTERM)
    end_of([process], tmp_path, "train")


def test_a_test_ends_at_a_signal(launcher, trained, tmp_path):
    process = launcher.start(
        "test",
        f"--ckpt_path={trained / 'checkpoints' / 'best.ckpt'}",
        "--data.test_batch_size=1",
        f"--trainer.default_root_dir={tmp_path / 'run'}",
        prepare=ANNOUNCE,
        folder=str(tmp_path),
        seconds=0.5,
    )
    process.wait_until((tmp_path / "test").exists)
    process.send(signal.SIGTERM)
    assert process.wait() == 143, process.text()
    assert not (tmp_path / "run" / "test" / "metrics.json").exists()


def test_ranks_started_by_lightning_end_with_the_first(launcher, tiny_args, tmp_path):
    process = launcher.start(
        *long_run(tiny_args, tmp_path / "run"),
        "--trainer.devices=2",
        "--trainer.strategy=ddp",
        prepare="tests.reliability.faults:as_installed",
    )
    process.wait_until((tmp_path / "run" / "checkpoints" / "last.ckpt").exists)
    assert len(process.family()) == 2
    process.send(signal.SIGTERM)
    end_of([process], tmp_path, "train")


def test_ctrl_c_ends_a_run(launcher, tiny_args, tmp_path):
    process = launcher.start(
        *long_run(tiny_args, tmp_path / "run"), prepare=ANNOUNCE, folder=str(tmp_path), seconds=0.02
    )
    wait_for_stage([process], tmp_path, "train", random.Random(0))
    process.send(signal.SIGINT)
    # status 143 if the interrupt was raised in a destructor, where Python discards it
    assert process.wait() in (1, 143), process.text()
    assert process.family() == []


FAULTS = "tests.reliability.faults"


@pytest.mark.parametrize(
    ("fault", "step", "workers"),
    [("sleep_in_dataset", 0, 0), ("sleep_in_dataset", 3, 0), ("sleep_in_worker", 3, 1)],
    ids=["before the first batch", "between batches", "a worker"],
)
def test_a_run_that_waits_for_a_batch_ends(launcher, tiny_args, tmp_path, fault, step, workers):
    process = launcher.start(
        *long_run(tiny_args, tmp_path / "run"),
        f"--data.num_workers={workers}",
        prepare=f"{FAULTS}:{fault}",
        folder=str(tmp_path),
        rank=0,
        step=step,
    )
    process.wait_until((tmp_path / "fired").exists)
    process.send(signal.SIGTERM)
    assert process.wait(30) == 143, process.text()
    # a batch prefetched before the worker hung may end the run in the usual way
    said = (
        "Stopped by SIGTERM" if workers else "Stopped by SIGTERM: no batch arrived within 8 seconds"
    )
    assert said in process.text()
    # the worker's parent processes end once they notice that the trainer has ended
    deadline = time.monotonic() + 30
    while left := process.family():
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_a_run_that_waits_for_another_rank_ends(launcher, tiny_args, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # nothing listens on this port, so the main thread blocks while connecting
    ranks = {"RANK": 1, "LOCAL_RANK": 1, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    process = launcher.start(
        *long_run(tiny_args, tmp_path / "run"),
        "--trainer.devices=2",
        env={**ranks, "GROUP_RANK": 0, "TORCHELASTIC_RUN_ID": "test"}
        | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
    )
    process.wait_until(lambda: "Initializing distributed" in process.text())
    time.sleep(1)
    process.send(signal.SIGTERM)
    assert process.wait(30) == 143, process.text()
