"""The arms of the evaluation: PKS⁴, and PKS⁴ without some of its parts.

``arms.json`` lists them: a key, the name of the row, and the settings of ``model.classifier`` that
differ from ``configs/egogestar.yaml``.
"""

import functools
import json
from collections.abc import Sequence
from importlib.resources import files

from pks4_lightning.experiments.plan import Arm

__all__ = ["arm_keys", "evidence_arms"]


def arm_keys() -> list[str]:
    """Return the keys of all arms; the others are compared with the first."""
    return list(_read())


def evidence_arms(keys: Sequence[str]) -> list[Arm]:
    """Return arms in the order of their file.

    Args:
        keys: A selection of :func:`arm_keys`.

    Raises:
        ValueError: If there is no such arm.
    """
    known = _read()
    unknown = [key for key in keys if key not in known]
    if unknown:
        raise ValueError(f"There is no arm {unknown[0]!r}; the arms are {', '.join(known)}.")
    return [known[key] for key in known if key in keys]


@functools.cache
def _read() -> dict[str, Arm]:
    text = files("pks4_lightning.experiments.evidence").joinpath("arms.json").read_text("utf-8")
    return {
        key: Arm(arm["name"], _arguments(arm["settings"])) for key, arm in json.loads(text).items()
    }


def _arguments(settings: dict[str, object]) -> tuple[str, ...]:
    words: list[str] = []
    for name, value in settings.items():
        words += (
            f"--model.classifier.{name}",
            value if isinstance(value, str) else json.dumps(value),
        )
    return tuple(words)
