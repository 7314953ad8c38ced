"""Public names of a package that are imported when they are first asked for (PEP 562).

Importing a package then costs nothing, and importing one of its modules pulls in no other.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(
    package: str, modules: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` for a package's ``__init__``.

    Type checkers do not follow them, so the package imports the same names, each ``as`` itself,
    under ``TYPE_CHECKING``; ``tests/test_lazy.py`` compares the two lists.

    Args:
        package: Its ``__name__``.
        modules: Names that the package exports, by module, relative to it.
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def look_up(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)  # looked up once
        return value

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return look_up, list_names, sorted(homes)
