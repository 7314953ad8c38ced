"""Which classes settings may name: those of this package and Lightning's building blocks.

Settings come from files that others wrote, and naming a class imports its module. So nothing may
be named but what stands here, wherever it is written: on the command line, in a configuration, in
a checkpoint. Code of your own is let in by the environment alone, which no file can change:
``PKS4_ALLOW_IMPORTS=my_package pks4 fit ...``. That holds for a checkpoint's settings as well: a
run with a callback of yours could not be resumed otherwise.
"""

import re

from jsonargparse import set_parsing_settings

from pks4_lightning.own_code import OPT_IN, own_modules

__all__ = ["explain_denied_import", "restrict_imports"]

ALLOWED = (
    "pks4_lightning.data.clips.sampling",
    "pks4_lightning.training",
    "pytorchvideo.data.clip_sampling",
    "lightning.pytorch.accelerators",
    "lightning.pytorch.callbacks",
    "lightning.pytorch.loggers",
    "lightning.pytorch.plugins",
    "lightning.pytorch.profilers",
    "lightning.pytorch.strategies",
    # where the cluster environments and checkpoint writers of lightning.pytorch.plugins are defined
    "lightning.fabric.plugins",
)


def restrict_imports() -> None:
    """Let jsonargparse import nothing but the list above and what the environment adds to it.

    The rule is the process's: it holds for every parser of jsonargparse from here on.

    Raises:
        ValueError: If the environment's list is none of import paths.
    """
    set_parsing_settings(
        import_path_denylist=["*"], import_path_allowlist=[*ALLOWED, *own_modules()]
    )


def explain_denied_import(message: str) -> str | None:
    """Return one sentence on a class that may not be named, with the way out.

    Args:
        message: What jsonargparse says.

    Returns:
        The sentence without its full stop, or ``None`` if the message is about something else.
    """
    denied = re.search(r"Importing '([^']+)' is not allowed, denied by the '([^']+)'", message)
    if denied is None:
        return None
    path, entry = denied.groups()
    sentence = (
        f"settings may not name {path}, which is neither this package's nor one of Lightning's "
        "building blocks"
    )
    if entry != "*":  # on jsonargparse's own list of what runs commands, such as os
        return sentence
    return (
        f"{sentence}; if it is code of your own, allow it with {OPT_IN}={path.split('.')[0]} in "
        "the environment"
    )
