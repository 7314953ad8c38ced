"""A folder per class, of videos or of folders of pictures."""

import logging
from pathlib import Path

from pks4_lightning.data.annotations.entry import Entry
from pks4_lightning.data.annotations.locating import in_source
from pks4_lightning.data.annotations.record import DataFormat, Part
from pks4_lightning.data.annotations.walking import suffixes_of, walk
from pks4_lightning.data.video.container import VIDEO_SUFFIXES

__all__ = ["FOLDER"]

logger = logging.getLogger(__name__)


def read_folder(part: Part) -> list[Entry]:
    """Read a folder of class folders that hold videos, or folders of pictures, at any depth.

    Args:
        part: The folder of a split.

    Raises:
        ValueError: If a video lies beside the class folders, or there is none that is read.
    """
    source = part.source
    if not source.is_dir():
        raise ValueError(f"'{source}' is not a folder of class folders.")
    walked = walk(source)
    if not walked.clips:
        files = [*walked.unread, *(file for files in walked.empty.values() for file in files)]
        held = f" ({suffixes_of(sorted(set(files)))})" if files else ""
        raise ValueError(f"'{source}' lists no videos: none of its files is one that is read"
                         f"{held}; the videos of a class lie in a folder of its name.")  # fmt: skip
    for remark in walked.remarks():
        logger.warning("%s", remark)
    entries = []
    for video in walked.clips:
        label, _, rest = video.partition("/")
        is_file = Path(video).suffix.lower() in VIDEO_SUFFIXES
        if not rest and is_file:
            raise ValueError(f"'{source}' holds the video '{video}' beside its class folders; "
                             "every video must lie in the folder of its class.")  # fmt: skip
        if not rest:
            raise ValueError(f"'{source}' holds pictures in '{video}' and no folders there; the "
                             "pictures of a video lie in CLASS/VIDEO/.")  # fmt: skip
        entries.append(Entry(video, label, f"'{video}'"))
    return entries


FOLDER = DataFormat(
    name="folder",
    read=read_folder,
    recognises=lambda sniffed: sniffed.path.is_dir(),
    splits={"train": ("train",), "val": ("val", "validation"), "test": ("test",)},
    labels_are_names=True,
    folders=("",),
    is_folder=True,
    locate=in_source,
    is_anybodys=True,
)
