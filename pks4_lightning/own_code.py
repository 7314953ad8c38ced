"""Code of a user's own: what the environment lets in, and nothing else may import."""

import importlib
import os
from typing import Any

__all__ = ["OPT_IN", "own_class", "own_modules"]

OPT_IN = "PKS4_ALLOW_IMPORTS"


def own_modules() -> list[str]:
    """Return the modules that ``PKS4_ALLOW_IMPORTS`` lets settings name, with all below them.

    Raises:
        ValueError: If the variable holds anything else than import paths.
    """
    own = [entry.strip() for entry in os.environ.get(OPT_IN, "").split(",") if entry.strip()]
    for entry in own:
        names = entry.split(".")
        if names[0] == "jsonargparse" or not all(name.isidentifier() for name in names):
            raise ValueError(
                f"{OPT_IN} holds {entry!r}; it takes names of your own modules, separated by "
                f"commas, such as {OPT_IN}=my_package."
            )
    return own


def own_class(path: str, *, setting: str) -> Any:
    """Import a class of the user's own.

    Args:
        path: Such as ``my_module.MyClass``.
        setting: Where it is named, for messages.

    Raises:
        ValueError: If the environment does not let it in, or there is no such class.
    """
    module, _, name = path.rpartition(".")
    if not any(f"{path}.".startswith(f"{own}.") for own in own_modules()):
        raise ValueError(
            f"{setting} names {path}; if it is code of your own, allow it with "
            f"{OPT_IN}={module.split('.')[0]} in the environment."
        )
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{setting} names {path}, and there is no module {error.name}: PYTHONPATH must hold "
            "the folder that it lies in."
        ) from error
    if not isinstance(found, type):
        raise ValueError(f"{setting} names {path}, and {module} has no class {name}.")
    return found
