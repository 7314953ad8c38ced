"""One folder per class, with videos or folders of pictures."""

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
    """Read class folders that contain videos or folders of pictures, at any depth.

    Args:
        part: The folder of a split.

    Raises:
        ValueError: If a video lies beside the class folders, or there is no supported video.
    """
    source = part.source
    walked = walk(source)
    if not walked.clips:
        files = [*walked.unread, *(file for files in walked.empty.values() for file in files)]
        held = f" ({suffixes_of(sorted(set(files)))})" if files else ""
        raise ValueError(f"'{source}' contains no videos in a supported format{held}; the videos "
                         "of each class must lie in a folder named after the class.")  # fmt: skip
    for remark in walked.remarks():
        logger.warning("%s", remark)
    entries = []
    for video in walked.clips:
        label, _, rest = video.partition("/")
        is_file = Path(video).suffix.lower() in VIDEO_SUFFIXES
        if not rest and is_file:
            raise ValueError(f"'{source}' has the video '{video}' beside its class folders; "
                             "every video must lie in the folder of its class.")  # fmt: skip
        if not rest:
            raise ValueError(f"'{source}' has pictures directly in '{video}'; the "
                             "pictures of a video must lie in CLASS/VIDEO/.")  # fmt: skip
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
