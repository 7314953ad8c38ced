"""Read settings written by others: plain values only, with limits on size and nesting.

An alias in YAML repeats what it refers to, so a few lines can expand to more values than fit into
memory. Values are therefore counted, repetitions included, before anything is built.
"""

from pathlib import Path
from typing import Any

import yaml

__all__ = ["check_yaml", "load_config", "read_config"]

_MAX_BYTES = 1_000_000  # ours have 2 KB, those in a checkpoint 5 KB
_MAX_VALUES = 100_000
_MAX_DEPTH = 100  # libyaml's loader recurses in C: a few thousand levels end the process
# libyaml's C loader if it is installed, as in jsonargparse
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class UnreadableError(yaml.YAMLError):
    """YAML that cannot be settings."""


def read_config(path: str | Path) -> str:
    """Read a configuration file.

    Args:
        path: The file.

    Returns:
        Its text.

    Raises:
        ValueError: If it is too large, or not UTF-8 text.
    """
    with Path(path).open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(
            f"{path} is not a configuration: it is larger than {_MAX_BYTES // 1000} KB."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a configuration: it is not UTF-8 text.") from None


def load_config(path: str | Path) -> Any:
    """Load a configuration file.

    Args:
        path: The file.

    Returns:
        Its content: numbers, strings, lists and mappings, nothing that needs a class.

    Raises:
        ValueError: If it cannot be read or is not a configuration.
    """
    text = read_config(path)
    try:
        check_yaml(text)
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"The configuration '{path}' cannot be read: {reason}.") from None


def check_yaml(text: str) -> None:
    """Refuse YAML that is nested too deeply, or whose aliases expand to too many values.

    Args:
        text: The YAML.

    Raises:
        yaml.YAMLError: If it is, or if it is not valid YAML.
    """
    if len(text) > _MAX_BYTES:
        raise UnreadableError(f"settings of more than {_MAX_BYTES // 1000} KB")
    anchors: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = [(None, 0)]  # an anchor, and its values so far
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, 1))
            if len(opened) > _MAX_DEPTH:
                raise UnreadableError(f"settings nested deeper than {_MAX_DEPTH} levels")
        elif isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            size = 1
            if isinstance(event, yaml.CollectionEndEvent):
                anchor, size = opened.pop()
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in anchors:
                    raise UnreadableError(f"*{event.anchor} refers to no anchor defined before it")
                anchor, size = None, anchors[event.anchor]
            else:
                anchor = event.anchor
            if anchor is not None:
                anchors[anchor] = size
            opened[-1] = (opened[-1][0], opened[-1][1] + size)
            if opened[-1][1] > _MAX_VALUES:
                raise UnreadableError(f"settings that expand to more than {_MAX_VALUES} values")
