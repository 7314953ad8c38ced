"""``pks4 features``: extract features of long videos for temporal detectors."""

import argparse
import logging
from pathlib import Path

import torch

from pks4_lightning.data.annotations.prediction import list_for_prediction
from pks4_lightning.files import sha256_of, write_json
from pks4_lightning.inference import find_source, load
from pks4_lightning.models.pretrained import weights_file
from pks4_lightning.timeline.features import FeatureWriter
from pks4_lightning.timeline.result_folder import ResultFolder
from pks4_lightning.timeline.windows import check_window

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    parser.description = (
        "Write <video>.npy for every video, and features.json, in the format that temporal "
        "detectors (OpenTAD, ActionFormer) read. Row i covers the time from i x stride to i x "
        "stride + length, in seconds; features.json has both values under each detector's names."
    )
    parser.epilog = (
        "examples:\n"
        "  pks4 features --ckpt_path best.ckpt /my/videos --window 2.0 --stride 0.5\n"
        "  pks4 features --ckpt_path best.ckpt /my/videos --kind frame --window 2.0 --out frames\n"
        "  pks4 features --ckpt_path best.ckpt /my/videos --out features --resume"
    )
    parser.add_argument(
        "videos", metavar="VIDEO", nargs="+",
        help="a video, a folder, a 'pattern' or a list of paths; - reads a list from standard "
        "input",
    )  # fmt: skip
    parser.add_argument(
        "--ckpt_path", required=True, help="checkpoint, or folder of `pks4 export-weights`"
    )
    parser.add_argument(
        "--kind", choices=["window", "frame", "patch"], default="window",
        help="one row per window, the head's input (default); per frame; or per frame the grid of "
        "its patches, width x rows x columns",
    )  # fmt: skip
    parser.add_argument(
        "--window", type=float, default=2.0, help="length of a window in seconds (2.0)"
    )
    parser.add_argument(
        "--stride", type=float,
        help="seconds between windows; default: half a window. Frames and patches are contiguous, "
        "window / num_frames apart",
    )  # fmt: skip
    parser.add_argument(
        "--dtype",
        choices=["float32", "float16"],
        default="float32",
        help="data type of the files (float32)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("features"), help="output folder (features)"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="process only the videos that --out does not contain yet",
    )
    parser.add_argument("--device", help="cpu, cuda, ...; default: a GPU if there is one")


def run(arguments: argparse.Namespace) -> None:
    """Write the features of videos.

    Args:
        arguments: The parsed arguments of the command.

    Raises:
        ValueError: If an argument is invalid, or no video could be read.
        FileExistsError: If the folder contains features and --resume is not given.
    """
    if arguments.stride is not None and arguments.kind != "window":
        raise ValueError(
            f"--stride applies to windows only; the rows of --kind {arguments.kind} are "
            "contiguous, window / num_frames apart: leave it out."
        )
    stride = arguments.window / 2 if arguments.stride is None else arguments.stride
    check_window(window=arguments.window, stride=stride)
    videos = list_for_prediction(arguments.videos)
    source = find_source(arguments.ckpt_path)
    model = load(source, device=arguments.device)
    made_by = {
        "checkpoint": sha256_of(weights_file(source)), "--kind": arguments.kind,
        "--window": arguments.window, "--stride": stride, "--dtype": arguments.dtype,
        "computed in": str(model.dtype),
    }  # fmt: skip
    with ResultFolder.locked(
        arguments.out, made_by=made_by, resume=arguments.resume, what="features"
    ) as folder:
        writer = FeatureWriter(
            model=model, folder=folder, kind=arguments.kind, window=arguments.window, stride=stride,
            dtype=getattr(torch, arguments.dtype),
        )  # fmt: skip
        try:
            folder.work_through(videos, writer.write)
        finally:  # also after Ctrl-C
            write_json(arguments.out / "features.json", writer.description())
        folder.check()
        logger.info(
            "Wrote features of %d videos to %s; features.json lists them.",
            len(folder.finished),
            arguments.out,
        )
