"""Videos without labels, to predict."""

from pathlib import Path

from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.annotations.walking import find_clips
from pks4_lightning.data.video.container import VIDEO_SUFFIXES
from pks4_lightning.data.video.frame_folder import PICTURE_SUFFIXES

__all__ = ["list_for_prediction"]

_NUM_LOOKED_UP = 64


def list_for_prediction(target: str | None, *, frame_template: str | None = None) -> VideoList:
    """List videos without labels.

    Args:
        target: A video file; a folder, searched at any depth; a folder of pictures; or a text file
            with a path per line, absolute or relative to that file.
        frame_template: Name of the pictures, where videos are folders of them.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it holds no videos, or none is named.
    """
    if target is None:
        raise ValueError(
            "data.predict is not set; it names a video, a folder of videos or a list of them."
        )
    path = Path(target).expanduser()
    if path.is_dir():
        folder, paths = path, find_clips(path)
        if not paths and any(file.suffix.lower() in PICTURE_SUFFIXES for file in path.iterdir()):
            folder, paths = path.parent, [path.name]
    elif not path.is_file():
        raise FileNotFoundError(f"data.predict names '{target}', which does not exist.")
    elif path.suffix.lower() in VIDEO_SUFFIXES:
        folder, paths = path.parent, [path.name]
    else:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            raise ValueError(
                f"data.predict names '{target}', which is neither a video "
                f"({', '.join(sorted(VIDEO_SUFFIXES))}) nor a list of paths."
            ) from None
        folder, paths = path.parent, [line.strip() for line in lines if line.strip()]
    if not paths:
        raise ValueError(f"data.predict names '{target}', which holds no videos.")
    videos = VideoList(
        str(path), str(folder), tuple(paths), (-1,) * len(paths), frame_template=frame_template
    )
    _look_up_some(videos)
    return videos


def _look_up_some(videos: VideoList) -> None:
    """Look whether videos exist: the first, and some spread over the list (disks may be slow)."""
    step = max(1, len(videos) // _NUM_LOOKED_UP)
    looked_up = range(0, len(videos), step)
    absent = [videos.path(index) for index in looked_up if not Path(videos.path(index)).exists()]
    if absent:
        raise FileNotFoundError(
            f"{len(absent)} of {len(looked_up)} videos looked up in '{videos.source}' do not exist,"
            f" such as '{absent[0]}'; correct the list."
        )
