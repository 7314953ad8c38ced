"""``pks4 predict --window``: label long videos in windows and merge these into segments."""

import argparse
import logging
from pathlib import Path

from pks4_lightning.data.annotations.prediction import list_for_prediction
from pks4_lightning.files import sha256_of
from pks4_lightning.inference import TrainedClassifier, find_source, load
from pks4_lightning.models.pretrained import weights_file
from pks4_lightning.timeline.formats import Labelled
from pks4_lightning.timeline.labelling import VideoLabeller
from pks4_lightning.timeline.overlay import check_overlay
from pks4_lightning.timeline.result_folder import ResultFolder
from pks4_lightning.timeline.segments import MARGIN, check_margin
from pks4_lightning.timeline.windows import check_window

__all__ = ["WINDOW_OPTIONS", "run_windows"]

logger = logging.getLogger(__name__)

WINDOW_OPTIONS = ("stride", "margin", "overlay", "device")
"""Options of `pks4 predict` that apply to windows only."""

_NUM_SHOWN = 20


def run_windows(arguments: argparse.Namespace) -> None:
    """Find the segments of videos.

    Args:
        arguments: Arguments of `pks4 predict`, with --window.

    Raises:
        ValueError: If an argument is invalid, or no video could be read.
        FileExistsError: If the folder contains segments and --resume is not given.
    """
    checkpoint = _checkpoint(arguments.settings)
    if arguments.num_best is not None:
        raise ValueError(
            "--num_best cannot be combined with --window, which gives every segment one class: "
            "leave it out."
        )
    window = arguments.window
    stride = window / 2 if arguments.stride is None else arguments.stride
    margin = MARGIN if arguments.margin is None else arguments.margin
    check_window(window=window, stride=stride)
    check_margin(margin)
    if not arguments.videos:
        raise ValueError(
            "`pks4 predict --window` labels the videos that follow it, and there is none: name a "
            "video, a folder of videos or a list of them."
        )
    videos = list_for_prediction(arguments.videos)
    paths = [videos.path(number) for number in range(len(videos))]
    num_named = len(paths) + len(videos.missing)
    if arguments.overlay is not None:
        if num_named != 1:
            raise ValueError(f"--overlay copies a single video, but {num_named} are given.")
        check_overlay(Path(paths[0]), arguments.overlay)
    source = find_source(checkpoint)
    model = load(source, device=arguments.device)
    _mention_rate(model, window)
    out = arguments.out or Path("segments")
    made_by = {
        "checkpoint": sha256_of(weights_file(source)), "--window": window, "--stride": stride,
        "--margin": margin, "dtype": str(model.dtype),
    }  # fmt: skip
    with ResultFolder.locked(
        out, made_by=made_by, resume=arguments.resume, what="segments"
    ) as folder:
        labeller = VideoLabeller(
            model=model, folder=folder, window=window, stride=stride, margin=margin
        )
        try:
            folder.work_through(videos, labeller.label)
        finally:  # also after Ctrl-C
            files = labeller.write(arguments.format, paths)
        folder.check()
        if len(paths) == 1:
            _show(labeller.segments(paths[0]))
        if arguments.overlay is not None:
            labeller.write_overlay(paths[0], arguments.overlay)
            files.append(arguments.overlay)
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    logger.info("Wrote %s%s; the timeline pictures are in %s.", files[0], more, out)


def _mention_rate(model: TrainedClassifier, window: float) -> None:
    """Warn if the frame rate of windows differs much from that of training."""
    trained, here = model.clip.frame_rate, model.clip.num_frames / window
    if trained is not None and not 0.75 < here / trained < 1.33:
        logger.warning(
            "Windows of %g s give %.3g frames per second, but training used %g: --window %g gives "
            "as many.",
            window, here, trained, model.clip.num_frames / trained,
        )  # fmt: skip


def _show(segments: list[Labelled]) -> None:
    for segment in segments[:_NUM_SHOWN]:
        logger.info(
            "%8.2f - %8.2f s  %4.0f %%  %s",
            segment.start, segment.end, 100 * segment.score, segment.label,
        )  # fmt: skip
    if len(segments) > _NUM_SHOWN:
        logger.info("... and %d more.", len(segments) - _NUM_SHOWN)


def _checkpoint(settings: list[str]) -> str:
    """Return the checkpoint, the only setting that --window accepts."""
    given = dict(setting.removeprefix("--").partition("=")[::2] for setting in settings)
    checkpoint = given.pop("ckpt_path", "")
    if given:
        raise ValueError(
            f"--{next(iter(given))} cannot be combined with --window, which makes clips as in "
            f"training; the options of --window are --{', --'.join(WINDOW_OPTIONS)}."
        )
    if not checkpoint:
        raise ValueError(
            "`pks4 predict --window` needs trained weights: --ckpt_path names a checkpoint of "
            "`pks4 fit`, or an export of `pks4 export-weights`."
        )
    return checkpoint
