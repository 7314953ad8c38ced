"""``pks4 retrieve``: find the training videos nearest to each test video."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from pks4_lightning.cli.arguments import NumbersAction, take_settings
from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.experiments.evaluation import build, quiet
from pks4_lightning.files import ANY_NAME, write_csv, write_json
from pks4_lightning.tables import new_table, print_tables
from pks4_lightning.training.scoring.retrieval import (
    Neighbours,
    nearest_neighbours,
    retrieval_scores,
)

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

_KS = (1, 5, 10)

EXAMPLES = """\
examples:
  pks4 retrieve --ckpt_path runs/ssv2_b16_f8/checkpoints/best.ckpt
  pks4 retrieve --ckpt_path runs/k400_b16_f32/checkpoints/best.ckpt \\
      --data.format ucf101 --data.root /data/ucf101 --k 1 5 10 20
Any setting of `pks4 predict` may follow. The data set may differ from that of the training.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    parser.description = (
        "Find the nearest neighbours of every test video in the training split. Features are the "
        "inputs of the head (the mean over frames of the projected class token), averaged over "
        "views and compared by cosine similarity."
    )
    parser.epilog = EXAMPLES
    take_settings(parser)
    parser.add_argument("--ckpt_path", required=True, help="the checkpoint")
    parser.add_argument(
        "--k",
        action=NumbersAction,
        help="numbers of neighbours, at most that of the training videos; default: 1 5 10",
    )
    parser.add_argument(
        "--out", type=Path, help="output folder; default: retrieval, in the run's folder"
    )


def run(arguments: argparse.Namespace) -> None:
    """Compute the features of both splits, search, and write the recall.

    Args:
        arguments: The parsed arguments of the command.

    Raises:
        ValueError: If the checkpoint or the data is not suitable.
    """
    settings: list[str] = arguments.settings
    with quiet():
        cli = build("test", arguments.ckpt_path, settings)
        data = cli.datamodule
        data.setup("fit")
        data.setup("test")
    gallery, queries = data.videos("train"), data.videos("test")
    if gallery.spans or queries.spans:
        raise ValueError(
            "pks4 retrieve compares whole videos, but these annotations are intervals: cut them "
            "into files of their own."
        )
    shared = {gallery.path(i) for i in range(len(gallery))}
    shared &= {queries.path(i) for i in range(len(queries))}
    if shared:
        raise ValueError(
            f"{len(shared)} test videos, such as {min(shared)}, are also training videos: a "
            "query would find itself."
        )
    ks = _numbers(arguments.k, len(gallery))
    path = str(cli.config["test"].ckpt_path)
    out = arguments.out or Path(cli.trainer.default_root_dir) / "retrieval"
    found, gallery = _features(path, gallery, out / "gallery", settings)
    sought, queries = _features(path, queries, out / "queries", settings)
    if len(found) < max(ks):
        ks = _numbers(arguments.k, len(found))
    neighbours = nearest_neighbours(sought, found, max(ks))
    labels = np.array(gallery.labels)[neighbours.places]
    scores = retrieval_scores(labels, np.array(queries.labels), ks=ks)
    _write_neighbours(out / "neighbours.csv", queries, gallery, neighbours, data.label_names)
    report = {
        "checkpoint": path,
        "num_queries": len(sought),
        "num_gallery": len(found),
        **{name: round(value, 6) for name, value in scores.items()},
    }
    write_json(out / "retrieval.json", report)
    _show(report, ks)
    logger.info("Wrote %s/{retrieval.json,neighbours.csv}.", out)


def _numbers(given: tuple[int, ...] | None, size: int) -> tuple[int, ...]:
    """Return the numbers of neighbours to search for in a gallery; by default, those possible."""
    if given is None:
        ks = tuple(k for k in _KS if k <= size)
        if ks != _KS:
            logger.info(
                "There are only %d training videos, so --k is %s.", size, " ".join(map(str, ks))
            )
        return ks
    if max(given) > size:
        raise ValueError(
            f"--k is {max(given)}, but there are only {size} training videos; lower it to at most "
            f"{size}."
        )
    return given


def _write_neighbours(
    target: Path,
    queries: VideoList,
    gallery: VideoList,
    neighbours: Neighbours,
    names: Sequence[str],
) -> None:
    """Write the neighbours of every query, nearest first: path, class and cosine similarity."""
    header = ["video_path", "label"]
    for k in range(1, neighbours.places.shape[1] + 1):
        header += [f"neighbour{k}", f"label{k}", f"similarity{k}"]
    lines = []
    for query, (places, cosines) in enumerate(zip(*neighbours, strict=True)):
        cells = [queries.path(query), names[queries.labels[query]]]
        for place, cosine in zip(places, cosines, strict=True):
            cells += [gallery.path(place), names[gallery.labels[place]], f"{cosine:.6f}"]
        lines.append(cells)
    write_csv(target, header, lines)


def _features(
    checkpoint: str, videos: VideoList, folder: Path, settings: list[str]
) -> tuple[np.ndarray, VideoList]:
    """Return the features of all videos of a list that can be decoded, and these videos."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = folder / "videos.txt"
    # a list for prediction has every video once
    first: dict[Path, int] = {}
    for index in range(len(videos)):
        first.setdefault(Path(videos.path(index)).absolute(), index)
    videos = videos.only(list(first.values()))
    listed.write_text("".join(f"{path}\n" for path in first), encoding="utf-8", errors=ANY_NAME)
    recorder = _FeatureRecorder()
    logger.info("Features of %d videos, %s.", len(videos), folder.name)
    with quiet():
        where = [f"--data.predict={listed}", f"--trainer.default_root_dir={folder}"]
        cli = build("predict", checkpoint, [*settings, *where], listener=recorder)
        cli.trainer.predict(
            cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint, return_predictions=False
        )
    if missing := cli.datamodule.missing_videos("predict"):
        # features are indexed by the videos that still exist, labels by those that were listed
        raise FileNotFoundError(
            f"{len(missing)} videos have disappeared since the annotations were read, such as "
            f"'{missing[0]}'; run it again."
        )
    features, indices = recorder.per_video()
    decoded = {videos.path(index) for index in indices}
    failed = {videos.path(index) for index in range(len(videos))} - decoded
    return features, videos.without(failed)


class _FeatureRecorder(Callback):
    """Records the inputs of the head while a trainer predicts."""

    def __init__(self) -> None:
        self._read: list[Tensor] = []
        self._index: list[Tensor] = []
        self._features: list[Tensor] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Register a hook on the head."""
        head: Any = pl_module.classifier
        head.head.register_forward_pre_hook(self._keep)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the features of the batch, except those of padding clips."""
        features, self._read = torch.cat(self._read), []
        self._features.append(features[batch["valid"]].float().cpu())
        self._index.append(batch["video_index"][batch["valid"]].cpu())

    def per_video(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean over each video's views, and the videos' positions in their list."""
        videos, place = torch.cat(self._index).unique(return_inverse=True)
        features = torch.cat(self._features)
        sums = features.new_zeros(len(videos), features.shape[1]).index_add(0, place, features)
        return (sums / place.bincount()[:, None]).numpy(), videos.numpy()

    def _keep(self, _head: nn.Module, inputs: tuple[Tensor]) -> None:
        self._read.append(inputs[0].detach())


def _show(report: dict[str, Any], ks: tuple[int, ...]) -> None:
    table = new_table(
        f"{report['num_queries']:,} queries, {report['num_gallery']:,} gallery videos"
    )
    for title in ("k", "recall %", "k-nearest-neighbour top-1 %"):
        table.add_column(title, justify="right")
    for k in ks:
        percents = (f"{100 * report[f'{name}@{k}']:.2f}" for name in ("recall", "knn"))
        table.add_row(str(k), *percents)
    print_tables(table)
