"""Which classes settings may name: those of this package and Lightning's building blocks.

Settings may come from files that others wrote, and naming a class imports its module. Therefore
only the classes listed here may be named, whether on the command line, in a configuration or in a
checkpoint. Code of your own is enabled only by an environment variable, which no file can set:
``PKS4_ALLOW_IMPORTS=my_package pks4 fit ...``. This applies to the settings in a checkpoint too,
because a run with a callback of yours could not be resumed otherwise.
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
    # the modules behind lightning.pytorch.plugins that define cluster environments and writers
    "lightning.fabric.plugins",
)


def restrict_imports() -> None:
    """Restrict jsonargparse to the list above and the modules that the environment adds.

    The rule is global: it applies to every jsonargparse parser in this process from now on.

    Raises:
        ValueError: If the environment variable does not list import paths.
    """
    set_parsing_settings(
        import_path_denylist=["*"], import_path_allowlist=[*ALLOWED, *own_modules()]
    )


def explain_denied_import(message: str) -> str | None:
    """Explain in one sentence why a class may not be named, and what to do.

    Args:
        message: The error message of jsonargparse.

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
    if entry != "*":  # jsonargparse's own list of modules that can run commands, such as os
        return sentence
    return (
        f"{sentence}; if it is code of your own, allow it with {OPT_IN}={path.split('.')[0]} in "
        "the environment"
    )
