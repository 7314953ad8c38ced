"""``pks4 stream``: label a video while it plays."""

import argparse
import json
import logging
import sys
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from pks4_lightning.files import check_writable
from pks4_lightning.inference import load
from pks4_lightning.ranges import check_at_least
from pks4_lightning.timeline.follow import Answer, Follower, Mode, follower
from pks4_lightning.timeline.overlay import check_overlay, write_overlay
from pks4_lightning.timeline.pacing import Tick, as_live, at_rate, latest_at_rate
from pks4_lightning.timeline.sources import open_source
from pks4_lightning.training.scoring.predictions import Label, best_labels

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

_HIGHEST_RATE = 1000
_MOST_TIMED = 10_000
"""Predictions whose computing times the summary covers; a stream may never end."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    parser.description = (
        "Label a file, a camera or a network stream while it plays. Writes one line of JSON per "
        "prediction, with the time of its frame. If a prediction takes longer than a frame, frames "
        "are dropped and counted, never queued."
    )
    parser.epilog = (
        "examples:\n"
        "  pks4 stream --ckpt_path runs/causal/checkpoints/best.ckpt --source clip.mp4 --rate 4\n"
        "  pks4 stream --ckpt_path best.ckpt --source 0 --out events.jsonl        # a camera\n"
        "  pks4 stream --ckpt_path best.ckpt --source rtsp://host/path --device cuda\n"
        "Train with model.classifier.causal true for exact streaming at constant cost per frame."
    )
    parser.add_argument(
        "--ckpt_path", required=True, help="checkpoint, or folder of `pks4 export-weights`"
    )
    parser.add_argument(
        "--source", required=True, help="a video file, a camera number or an address (rtsp://)"
    )
    parser.add_argument(
        "--rate", type=float, help="frames per second to classify; default: as in training, or 4"
    )
    parser.add_argument("--every", type=int, default=1, help="write every N-th prediction (1)")
    parser.add_argument("--num_best", type=int, default=5, help="classes per prediction (5)")
    parser.add_argument(
        "--mode",
        choices=["auto", "state", "window"],
        default="auto",
        help="update a state per frame, or reclassify the last frames; auto: state if possible",
    )
    parser.add_argument("--live", action="store_true", help="play a file at its own frame rate")
    parser.add_argument("--out", type=Path, help="output file; default: standard output")
    parser.add_argument(
        "--overlay", type=Path, help="write a copy of the file with the labels drawn into it (.mp4)"
    )
    parser.add_argument("--device", help="cpu, cuda, ...; default: a GPU if there is one")


def run(arguments: argparse.Namespace) -> int:
    """Follow a source until it ends.

    Args:
        arguments: The parsed arguments of the command.

    Returns:
        The exit status: 1 if the source gave no frame.

    Raises:
        ValueError: If a number is out of range, the output is a folder, or an overlay of a live
            source is requested.
        FileExistsError: If the output or the overlay already exists.
        OSError: If nothing can be written there.
        VideoDecodeError: If the source cannot be opened.
    """
    if arguments.rate is not None and not 0 < arguments.rate <= _HIGHEST_RATE:
        raise ValueError(
            f"--rate is {arguments.rate:g}; it must be above 0 and at most {_HIGHEST_RATE} frames "
            "per second."
        )
    check_at_least(1, {"--every": arguments.every, "--num_best": arguments.num_best})
    if arguments.out is not None:
        _check_out(arguments.out)
    if arguments.overlay is not None:
        check_overlay(Path(arguments.source), arguments.overlay)
    model = load(arguments.ckpt_path, device=arguments.device)
    rate = arguments.rate or model.clip.stream_rate
    mode: Mode = arguments.mode
    following = follower(model, mode)
    logger.info("%s", following.protocol)
    with _errors_of(arguments.out), ExitStack() as stack:
        source = stack.enter_context(open_source(arguments.source))
        if arguments.overlay is not None and source.is_live:
            raise ValueError(
                "--overlay copies a video file, so it works with neither a camera nor an address."
            )
        if arguments.out is None:
            lines: TextIO = sys.stdout
        else:
            lines = stack.enter_context(arguments.out.open("w", encoding="utf-8"))
        if source.is_live or arguments.live:
            frames = source.frames if source.is_live else as_live(source.frames)
            ticks = stack.enter_context(latest_at_rate(frames, rate))
        else:
            ticks = stack.enter_context(nullcontext(at_rate(source.frames, rate)))
        log = _Log(
            lines, model.label_names, every=arguments.every, num_best=arguments.num_best,
            keep=arguments.overlay is not None,
        )  # fmt: skip
        try:
            for answer, tick, seconds in _answers(following, ticks):
                log.add(answer, tick, seconds)
        except KeyboardInterrupt:
            logger.info("Interrupted.")
    logger.info("%s", log.summary())
    if arguments.overlay is not None and log.num_answers:
        write_overlay(Path(arguments.source), arguments.overlay, log.caption_at)
        logger.info("Wrote %s.", arguments.overlay)
    return 0 if log.num_answers else 1


def _check_out(out: Path) -> None:
    """Check that predictions can be written to a new file, a pipe or a device."""
    if out.is_dir():
        raise ValueError(
            f"--out is '{out}', which is a folder; name a file in it, such as "
            f"{out / 'events.jsonl'}."
        )
    if out.is_file():
        raise FileExistsError(
            f"--out is '{out}', which already exists; choose another file or delete it."
        )
    if not out.exists():
        check_writable(out.parent, what="predictions", option="--out")


@contextmanager
def _errors_of(out: Path | None) -> Iterator[None]:
    """Name the output in errors of writing to it, which do not."""
    try:
        yield
    except OSError as error:
        if out is None or error.strerror is None or isinstance(error, BrokenPipeError):
            raise
        raise OSError(f"Predictions cannot be written to '{out}': {error.strerror}.") from error


def _answers(following: Follower, ticks: Iterator[Tick]) -> Iterator[tuple[Answer, int, float]]:
    """Yield every prediction, the number of frames dropped before it, and its computing time."""
    dropped = 0
    for tick in ticks:
        start = time.perf_counter()
        answer = following.see(tick.time, tick.frame)
        dropped += tick.dropped
        if answer is not None:
            yield answer, dropped, time.perf_counter() - start
            dropped = 0
    start = time.perf_counter()
    for answer in following.end():
        yield answer, 0, time.perf_counter() - start


class _Log:
    """Writes predictions as lines, counts them for the summary, and keeps them for an overlay."""

    def __init__(
        self, lines: TextIO, label_names: list[str], *, every: int, num_best: int, keep: bool
    ) -> None:
        self.num_answers = 0
        self._lines = lines
        self._names = label_names
        self._every, self._num_best = every, num_best
        # only a file, which ends, has an overlay
        self._kept: list[tuple[float, list[Label]]] | None = [] if keep else None
        self._dropped = 0
        self._seconds: deque[float] = deque(maxlen=_MOST_TIMED)

    def add(self, answer: Answer, dropped: int, seconds: float) -> None:
        """Record a prediction, and write it if it is due."""
        best = best_labels(answer.scores.numpy()[None], self._names, num_best=self._num_best)[0]
        if self._kept is not None:
            self._kept.append((answer.time, best))
        self.num_answers += 1
        self._dropped += dropped
        self._seconds.append(seconds)
        if (self.num_answers - 1) % self._every:
            return
        line: dict[str, Any] = {
            "time": round(answer.time, 3),
            "label": best[0].name,
            "score": round(best[0].score, 4),
            "best": [[label.name, round(label.score, 4)] for label in best],
            "dropped": dropped,
            "milliseconds": round(1e3 * seconds, 1),
        }
        self._lines.write(json.dumps(line, ensure_ascii=False) + "\n")
        # a pipe would keep lines back until it has kilobytes of them
        self._lines.flush()

    def caption_at(self, seconds: float) -> list[Label]:
        """Return the newest kept prediction at a time; empty before the first one."""
        kept = self._kept or []
        number = bisect_right(kept, seconds + 1e-6, key=lambda each: each[0]) - 1
        return kept[number][1] if number >= 0 else []

    def summary(self) -> str:
        """Return the number of predictions and the time the last of them took."""
        if not self.num_answers:
            return "The source gave no frame to classify."
        middle, late = np.percentile(self._seconds, [50, 95])
        return (
            f"{self.num_answers} predictions, {self._dropped} frames dropped; "
            f"{1e3 * middle:.0f} ms per prediction (median), {1e3 * late:.0f} ms (95th percentile)."
        )
