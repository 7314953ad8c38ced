"""``pks4 data show``: draw a contact sheet of what the model will see."""

import argparse
import logging
import os

import torch

from pks4_lightning.cli.arguments import RangeAction
from pks4_lightning.commands.data.settings import add_data_arguments, data_of
from pks4_lightning.data.loading.dataset import join_views
from pks4_lightning.data.loading.sampler import VideoRequest
from pks4_lightning.data.seeding import generator
from pks4_lightning.pictures.contact_sheet import contact_sheet
from pks4_lightning.pictures.style import check_picture, save_figure

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

EXAMPLE = """\
  pks4 data show /data/ssv2 --config ssv2 --out clips.png"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    add_data_arguments(parser, example=EXAMPLE)
    parser.add_argument(
        "--split", choices=("train", "val", "test"), default="train",
        help="which split to draw from; training clips are augmented (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--num_shown", action=RangeAction, type=int, least=1, default=8,
        help="number of videos to draw (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--epoch", action=RangeAction, type=int, least=0, default=0,
        help="epoch whose random clips are drawn",
    )  # fmt: skip
    parser.add_argument(
        "--out", default="data_show.png", help="where to save the picture (%(default)s)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Draw the contact sheet.

    Args:
        arguments: The parsed arguments of the command.
    """
    check_picture(arguments.out, option="--out")
    data = data_of(arguments, makes_clips=True)
    split = arguments.split
    data.setup({"train": "fit", "val": "validate", "test": "test"}[split])
    loaders = {
        "train": data.train_dataloader, "val": data.val_dataloader, "test": data.test_dataloader
    }  # fmt: skip
    dataset = loaders[split]().dataset
    num_videos = len(data.videos(split))
    draw = generator("show", data.order.seed, arguments.epoch)
    chosen = torch.randperm(num_videos, generator=draw)[: arguments.num_shown].tolist()
    requests = [VideoRequest(index, arguments.epoch, 0, valid=True) for index in chosen]
    batch = join_views([dataset[request] for request in requests])
    titles: list[str] = []
    for place, (label, path) in enumerate(
        zip(batch["label"].tolist(), batch["video_path"], strict=True)
    ):
        name = data.label_names[label] if label >= 0 else "no label"
        about = [os.path.relpath(path, str(data.root)), f"view {int(batch['view_index'][place])}"]
        about += [change] if (change := batch["changes"][place]) else []
        title = f"{name}  ({', '.join(about)})"
        titles.append(batch["failure"][place] or title)
    clips = data.to_pixels(data.to_model_input(batch)).numpy()
    figure = contact_sheet(clips, titles)
    save_figure(figure, arguments.out)
    logger.info("Drew %d clips of %d videos: %s.", len(batch["label"]), len(chosen), arguments.out)
