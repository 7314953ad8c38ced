"""Old names of modules in settings; to be removed in version 0.3."""

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
"""Moved modules with classes that settings can name."""
_OLD = re.compile(rf"\bpks4_lightning\.({'|'.join(map(re.escape, _MOVED))})(?=\.[A-Z])")


def with_todays_modules(text: str) -> str:
    """Replace old module names in settings by the current ones.

    Args:
        text: Settings in YAML.
    """
    return _OLD.sub(lambda found: f"pks4_lightning.{_todays_module(found[1])}", text)


@functools.cache
def _todays_module(old: str) -> str:
    """Look up the new name of a module, and warn once that it has moved."""
    new = _MOVED[old]
    logger.warning(
        "The settings name pks4_lightning.%s, which is now pks4_lightning.%s; the old name works "
        "until version 0.3.",
        *(old, new),
    )
    return new
