"""A training killed at any moment and resumed equals an uninterrupted one, bit for bit."""

import hashlib
import random
import signal
import time

import pytest
import torch

from tests.reliability.traces import read_trace

pytestmark = pytest.mark.timeout(3600)  # 25 chains are 75 launches

SMALL = [
    "--data.batch_size=2",
    "--model.recipe.reference_batch=4",  # gives two micro-batches per step
    "--model.classifier.backbone_config.attention_dropout=0.1",
    "--trainer.limit_val_batches=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.logger=false",
    "--last_checkpoint.every_n_train_steps=3",  # with 4 steps per epoch, so that positions vary
]


class Run:
    """One training, possibly in several launches."""

    def __init__(self, launcher, folder, args, *, ranks=1):
        self.launcher, self.folder, self.args, self.ranks = launcher, folder, args, ranks
        self.trace = folder.with_suffix(".trace")
        self.last = folder / "checkpoints" / "last.ckpt"

    def launch(self, **given):
        args = ["fit", *self.args, f"--trainer.default_root_dir={self.folder}"]
        if self.ranks > 1:
            args += [f"--trainer.devices={self.ranks}", "--trainer.strategy=ddp"]
        if self.last.is_file():
            args = ["fit", "--ckpt_path", self.last]  # contains the settings
        given = {"prepare": "tests.reliability.traces:trace", "path": str(self.trace)} | given
        if self.ranks == 1:
            return [self.launcher.start(*args, **given)]
        return self.launcher.start_ranks(*args, world_size=self.ranks, **given)

    def finish(self):
        """Launch and let it end; return its training time in seconds."""
        first = self.traced() + 1
        processes = self.launch()
        self.wait_for_trace(processes, first)
        start = time.monotonic()
        for process in processes:
            assert process.wait(300) == 0, process.text()
        return time.monotonic() - start

    def kill(self, *, traced, delay):
        """Kill a launch ``delay`` seconds after ``traced`` bytes of trace; return if alive."""
        end = self.traced() + traced
        processes = self.launch()
        self.wait_for_trace(processes, end)
        time.sleep(delay)
        running = not any(process.ended.is_set() for process in processes)
        for process in processes:
            process.send(signal.SIGKILL)
        for process in processes:
            process.wait()
            process.kill_family()
        return running

    def traced(self):
        path = self.trace.with_name(f"{self.trace.name}.0")
        return path.stat().st_size if path.is_file() else 0

    def wait_for_trace(self, processes, size):
        def has_come():
            return self.traced() >= size or any(process.ended.is_set() for process in processes)

        processes[0].wait_until(has_come)

    def traces(self):
        """Return for each rank the videos and loss of every batch, and the rates of every step."""
        return [read_trace(self.trace, rank) for rank in range(self.ranks)]

    def fingerprint(self):
        """Return hashes of all state on which the next step depends."""
        saved = torch.load(self.last, weights_only=True)
        parts = {
            "steps": saved["global_step"],
            "weights": saved["state_dict"],
            "averages": [saved.get("current_model_state"), saved.get("averaging_state")],
            "optimiser": saved["optimizer_states"],
            "schedule": saved["lr_schedulers"],
            "random": [rank["random"] for rank in saved["run"]["ranks"]],
            "place": [saved["run"]["epoch"], saved["run"]["num_videos"]],
            "best": [state.get("best_model_score") for state in saved["callbacks"].values()],
        }
        return {
            name: hashlib.sha256(b"".join(_bytes(it))).hexdigest() for name, it in parts.items()
        }


def _bytes(value):
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _bytes(value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _bytes(item)
    elif isinstance(value, torch.Tensor):
        yield value.contiguous().numpy().tobytes()
    else:
        yield repr(value).encode()


def killed_and_continued(run, size, seconds, draw):
    """Kill a training twice at random times and let it end; return the number of kills that hit.

    Times are drawn as a position in the trace plus a delay, so that they scale with machine load.
    """
    first, second = sorted(draw.randrange(1, size) for _ in range(2))
    num_hits = run.kill(traced=first, delay=draw.uniform(0, seconds))
    if draw.random() < 0.2:
        num_hits += run.kill(traced=0, delay=draw.uniform(0, 2))
    else:
        num_hits += run.kill(traced=second - first, delay=draw.uniform(0, seconds))
    run.finish()
    return num_hits


@pytest.fixture(scope="module")
def whole(_launcher, tiny_args, tmp_path_factory):
    """An uninterrupted training of 48 steps: hashes, traces, their size, seconds per step."""
    _launcher.folder = tmp_path_factory.mktemp("whole")
    run = Run(_launcher, _launcher.folder / "run", [*tiny_args, *SMALL, "--trainer.max_epochs=12"])
    seconds = run.finish()
    _launcher.clear()
    return run.fingerprint(), run.traces(), run.traced(), seconds / 48


def test_killed_twice_at_random_times_it_ends_bit_for_bit_the_same(
    launcher, tiny_args, whole, tmp_path, times, record
):
    fingerprint, traces, size, seconds = whole
    assert sum(kind == "step" for kind, _ in traces[0]) == 48
    num_chains, num_hits, workers = times(3, full=25), 0, []
    for chain in range(num_chains):
        draw = random.Random(chain)
        workers.append((2, 0, 0, 1)[chain % 4])
        args = [*tiny_args, *SMALL, "--trainer.max_epochs=12", f"--data.num_workers={workers[-1]}"]
        run = Run(launcher, tmp_path / f"chain{chain}", args)
        num_hits += killed_and_continued(run, size, seconds, draw)
        assert run.fingerprint() == fingerprint, f"chain {chain}, {workers[-1]} workers"
        assert run.traces() == traces, f"chain {chain}"
    assert num_hits >= num_chains
    record(
        "exact resume after SIGKILL",
        chains=num_chains, equal=num_chains, kills=num_hits, workers=sorted(set(workers)),
    )  # fmt: skip


VARIANTS = {
    "no_accumulation": ["--model.recipe.reference_batch=2", "--trainer.max_epochs=2"],
    "averaged_weights": [
        "--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging",
        "--trainer.callbacks.decay=0.9",
        "--trainer.max_epochs=4",
    ],
    "two_ranks": ["--trainer.max_epochs=4"],
    "head_alone": ["--model.recipe.trains=head", "--trainer.max_epochs=4"],
    "flexible": [
        "--model.classifier.grid_size=null",
        "--data.flexible.num_frames=[1, 2, 6]",
        "--data.flexible.frame_sizes=[16, 24, 48]",
        "--data.flexible.grid_sizes=[2, 3, 6]",
        "--trainer.max_epochs=4",
    ],
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_so_it_does_in_every_variant(launcher, tiny_args, tmp_path, times, record, variant):
    args, ranks = [*tiny_args, *SMALL, *VARIANTS[variant]], 1 + (variant == "two_ranks")
    whole = Run(launcher, tmp_path / "whole", args, ranks=ranks)
    seconds = whole.finish() / sum(kind == "step" for kind, _ in whole.traces()[0])
    num_chains, num_hits = times(1, full=3), 0
    for chain in range(num_chains):
        run = Run(launcher, tmp_path / f"chain{chain}", args, ranks=ranks)
        num_hits += killed_and_continued(run, whole.traced(), seconds, random.Random(100 + chain))
        assert run.fingerprint() == whole.fingerprint()
        assert run.traces() == whole.traces()
    record(
        f"exact resume after SIGKILL, {variant}",
        chains=num_chains, equal=num_chains, kills=num_hits,
    )  # fmt: skip


SHARED = [
    # removes what depends on the batch's statistics or a rank's random draws
    "--model.classifier.use_variation=false",
    "--model.classifier.use_correlation=false",
    "--model.recipe.mix_prob=0",
    "--data.batch_size=2",
    "--trainer.max_steps=10",
    "--trainer.max_epochs=3",
    "--trainer.limit_val_batches=0",
    "--trainer.enable_progress_bar=false",
    "--trainer.logger=false",
]


def test_a_step_is_the_same_however_many_ranks_workers_and_passes_share_it(
    launcher, tiny_args, tmp_path
):
    made = {}
    for ranks, workers, passes in [(1, 0, 2), (1, 2, 2), (2, 0, 1), (2, 1, 1)]:
        args = [
            *tiny_args,
            *SHARED,
            f"--data.num_workers={workers}",
            "--model.recipe.reference_batch=4",
        ]
        run = Run(launcher, tmp_path / f"{ranks}_{workers}", args, ranks=ranks)
        run.finish()
        made[ranks, workers] = steps(run, passes), run.fingerprint()["weights"]
    (videos, losses), _ = made[1, 0]
    assert len(videos) == 10
    for (ranks, workers), ((other_videos, other_losses), _) in made.items():
        assert other_videos == videos, f"{ranks} ranks, {workers} workers"
        assert other_losses == pytest.approx(losses, rel=1e-6), f"{ranks} ranks, {workers} workers"
    assert made[1, 0] == made[1, 2]
    assert made[2, 0] == made[2, 1]


def steps(run, passes):
    """Return the videos and the loss of each step (Lightning divides losses by the passes)."""
    videos, losses = [], []
    traces = run.traces()
    batches = [number for kind, number in traces[0] if kind == "loss"]
    for first in range(0, len(batches), passes):
        parts = [(t, n) for n in batches[first : first + passes] for t in traces]
        videos.append(sorted(int(v) for t, n in parts for v in t["batch", n].split(",")))
        losses.append(sum(float.fromhex(t["loss", n]) for t, n in parts) / len(traces))
    return videos, losses
