"""Long videos and streams: windows, segments, features, and predictions during playback."""

from typing import TYPE_CHECKING

from pks4_lightning.lazy import lazy_names

if TYPE_CHECKING:
    from pks4_lightning.timeline.follow import Answer, Follower, follower
    from pks4_lightning.timeline.formats import Labelled, write_segments
    from pks4_lightning.timeline.overlay import Caption, write_overlay
    from pks4_lightning.timeline.segments import Moments, Segment, find_moments, find_segments
    from pks4_lightning.timeline.sources import Source, open_source
    from pks4_lightning.timeline.window_pass import compute_windows
    from pks4_lightning.timeline.windows import Window, plan_windows, window_clips
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Answer",
    "Caption",
    "Follower",
    "Labelled",
    "Moments",
    "Segment",
    "Source",
    "Window",
    "compute_windows",
    "find_moments",
    "find_segments",
    "follower",
    "open_source",
    "plan_windows",
    "window_clips",
    "write_overlay",
    "write_segments",
]
