"""Names of modules that have moved, in settings from before; to be dropped with version 0.3."""

import functools
import logging
import re

__all__ = ["with_todays_modules"]

logger = logging.getLogger(__name__)

_CALLBACKS = (
    *("failure_record", "finite_guard", "last_checkpoint", "line_progress", "memory_advice"),
    *("prediction_writer", "preemption", "run_cost", "run_summary", "validation_pictures"),
    "watchdog",
)
_MOVED = {
    "data.clip_sampling": "data.clips.sampling",
    "training.checkpoint_io": "training.checkpoints.writing",
    "training.run_state": "training.resuming.run_state",
    **{f"training.{name}": f"training.callbacks.{name}" for name in _CALLBACKS},
}
"""Those that hold a class which settings can name."""
_OLD = re.compile(rf"\bpks4_lightning\.({'|'.join(map(re.escape, _MOVED))})(?=\.[A-Z])")


def with_todays_modules(text: str) -> str:
    """Let settings name classes by the modules in which they are today.

    Args:
        text: Settings in YAML.
    """
    return _OLD.sub(lambda found: f"pks4_lightning.{_todays_module(found[1])}", text)


@functools.cache
def _todays_module(old: str) -> str:
    """Look a module up, and say once that it has moved."""
    new = _MOVED[old]
    logger.warning(
        "Settings name pks4_lightning.%s, which is pks4_lightning.%s now; the old name works until "
        "version 0.3.",
        *(old, new),
    )
    return new
