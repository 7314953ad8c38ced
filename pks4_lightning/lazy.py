"""Lazy public names of a package, imported on first use (PEP 562)."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package whose names are imported on demand.

    The names and their modules are declared under ``if TYPE_CHECKING:`` as ordinary imports. Type
    checkers and editors read them there, and so does this function when a name is first used.
    (The same idea with a stub file: https://scientific-python.org/specs/spec-0001.)

    Args:
        package: The package's ``__name__``.

    Example:
        A complete ``__init__.py``::

            from typing import TYPE_CHECKING

            from pks4_lightning.lazy import lazy_names

            if TYPE_CHECKING:
                from pks4_lightning.models.config import PKS4Config
            else:
                __getattr__, __dir__ = lazy_names(__name__)

            __all__ = ["PKS4Config"]
    """

    def load(name: str) -> Any:
        module = sys.modules[package]
        if name not in module.__all__:
            message = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(message, name=name, obj=module)
        value = getattr(import_module(_origins(package)[name]), name)
        setattr(module, name, value)
        return value

    def names() -> list[str]:
        module = sys.modules[package]
        return sorted({*vars(module), *module.__all__})

    return load, names


def _origins(package: str) -> dict[str, str]:
    """Return the source module of every name imported under ``if TYPE_CHECKING:``."""
    import ast  # imported here: both cost milliseconds that `pks4 --help` need not spend
    import inspect

    source = ast.parse(inspect.getsource(sys.modules[package]))
    return {
        alias.name: str(statement.module)
        for block in source.body
        if isinstance(block, ast.If)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
