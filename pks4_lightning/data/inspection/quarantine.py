"""Handle videos that cannot be used: skip them, count them, and refuse too many."""

import logging
from collections.abc import Iterable, Mapping

from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.inspection.manifest import KnownFiles, relative_path
from pks4_lightning.data.inspection.probe import FileRecord
from pks4_lightning.ranges import check_at_least

__all__ = ["FailureCount", "apply_manifest", "manifest_paths"]

logger = logging.getLogger(__name__)

_NUM_NAMED = 10


def manifest_paths(videos: VideoList, root: str) -> list[str]:
    """Return the videos of a split with the paths they have in the manifest of a root."""
    folder = relative_path(videos.folder, root)
    return list(videos.paths) if folder == "." else [f"{folder}/{path}" for path in videos.paths]


def apply_manifest(
    videos: VideoList, records: Mapping[str, FileRecord], root: str, *, split: str
) -> tuple[VideoList, KnownFiles]:
    """Apply a manifest to a split, and log how many videos it affects.

    Args:
        videos: The split.
        records: The manifest.
        root: Folder that the manifest's paths are relative to.
        split: Training videos that must not be used are skipped. Those of other splits are kept,
            to be counted as failed.

    Returns:
        The videos to use, and what is known about them.

    Raises:
        ValueError: If no training video is left.
    """
    paths = manifest_paths(videos, root)
    known = KnownFiles(records, paths)
    if known.num_unknown:
        logger.warning(
            "The manifest lacks %d of the %d %s videos; run pks4 data index again.",
            known.num_unknown, len(videos), split,
        )  # fmt: skip
    bad = known.quarantined
    if not bad:
        return videos, known
    logger.warning(
        "The manifest quarantines %d of the %d %s videos, such as '%s': %s; they %s.",
        len(bad), len(videos), split, paths[min(bad)], bad[min(bad)],
        "are skipped" if split == "train" else "count as failed",
    )  # fmt: skip
    if split != "train":
        return videos, known
    kept = [index for index in range(len(videos)) if index not in bad]
    if not kept:
        raise ValueError(
            f"The manifest quarantines all {len(videos)} training videos, such as "
            f"'{paths[0]}': {bad[0]}; run pks4 data check for the reasons."
        )
    return videos.only(kept), KnownFiles(records, [paths[index] for index in kept])


class FailureCount:
    """Counts the training videos that could not be decoded, and decides when there are too many.

    Args:
        max_bad_fraction: Share of the training videos that may fail; one is always tolerated.
    """

    def __init__(self, max_bad_fraction: float) -> None:
        check_at_least(0, {"data.max_bad_fraction": max_bad_fraction})
        self.max_bad_fraction = max_bad_fraction
        self.reasons: list[str] = []
        """One sentence per file, in the order in which they failed."""

    def add(self, failures: Iterable[str]) -> None:
        """Record the failures of a batch.

        Args:
            failures: As in a batch: one line per file, empty for good clips.
        """
        for reason in [line for failure in failures for line in failure.splitlines()]:
            if reason not in self.reasons:
                self.reasons.append(reason)
                logger.warning("%s Another video replaces it.", reason)

    def refusal(self, *, num_videos: int) -> str | None:
        """Return the sentence that ends a training; ``None`` until too many videos have failed.

        Args:
            num_videos: Videos in the split.
        """
        if len(self.reasons) <= max(1, self.max_bad_fraction * num_videos):
            return None
        named = "; ".join(
            reason.removeprefix("Cannot decode video ").rstrip(".")
            for reason in self.reasons[:_NUM_NAMED]
        )
        more = len(self.reasons) - _NUM_NAMED
        named += f"; and {more} more" if more > 0 else ""
        return (
            f"{len(self.reasons)} of {num_videos} training videos cannot be decoded, more "
            f"than data.max_bad_fraction {self.max_bad_fraction:g} allows ({named}); "
            "quarantine them with pks4 data index, or raise the limit."
        )
