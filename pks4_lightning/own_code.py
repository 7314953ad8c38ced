"""User code that settings may name, enabled by an environment variable."""

import importlib
import os
from typing import Any

__all__ = ["OPT_IN", "own_class", "own_modules"]

OPT_IN = "PKS4_ALLOW_IMPORTS"


def own_modules() -> list[str]:
    """Return the modules that ``PKS4_ALLOW_IMPORTS`` allows settings to name, submodules included.

    Raises:
        ValueError: If the variable contains anything other than import paths.
    """
    own = [entry.strip() for entry in os.environ.get(OPT_IN, "").split(",") if entry.strip()]
    for entry in own:
        names = entry.split(".")
        if names[0] == "jsonargparse" or not all(name.isidentifier() for name in names):
            raise ValueError(
                f"{OPT_IN} contains {entry!r}; it must list names of your own modules, separated "
                f"by commas, such as {OPT_IN}=my_package."
            )
    return own


def own_class(path: str, *, setting: str) -> Any:
    """Import a class from user code.

    Args:
        path: Such as ``my_module.MyClass``.
        setting: The setting that names it, for messages.

    Raises:
        ValueError: If the environment does not allow it, or there is no such class.
    """
    module, _, name = path.rpartition(".")
    if not any(f"{path}.".startswith(f"{own}.") for own in own_modules()):
        raise ValueError(
            f"{setting} names {path}, which is not allowed; if it is code of your own, allow it "
            f"with {OPT_IN}={module.split('.')[0]} in the environment."
        )
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{setting} names {path}, but there is no module {error.name}: PYTHONPATH must contain "
            "its folder."
        ) from error
    if not isinstance(found, type):
        raise ValueError(f"{setting} names {path}, but {module} has no class {name}.")
    return found
