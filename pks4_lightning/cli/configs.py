"""The configurations that ship with the package, found by name from any folder."""

from pathlib import Path

import pks4_lightning
from pks4_lightning.suggestions import did_you_mean, did_you_mean_path

__all__ = ["config_names", "config_purpose", "find_config", "shipped_config"]


def config_names() -> list[str]:
    """Return the names of all configurations, such as ``ssv2`` and ``flexible/all``."""
    return sorted(_files(), key=lambda name: ("/" in name, name))


def shipped_config(name: str) -> Path:
    """Return the file of a configuration that ships with the package.

    Args:
        name: Such as ``ssv2``; ``ssv2.yaml`` and ``configs/ssv2.yaml`` mean the same.

    Raises:
        FileNotFoundError: If there is none of that name; the message suggests the closest ones.
    """
    plain = name.removeprefix("./").removeprefix("configs/").removesuffix(".yaml")
    files = _files()
    if plain in files:
        return files[plain]
    advice = did_you_mean(plain, files, num=3, cutoff=0.5)
    if name.endswith((".yaml", ".yml", ".json")):
        own = did_you_mean_path(name)
        advice = advice if own == "." else own
    raise FileNotFoundError(
        f"There is no configuration '{name}', neither a file nor one that ships with the package"
        f"{advice} `pks4 configs` lists them."
    )


def find_config(name: str) -> Path:
    """Return the file that ``--config`` refers to: a path, or a configuration of the package.

    Args:
        name: An existing file, which takes precedence, or a name as in :func:`shipped_config`.

    Raises:
        FileNotFoundError: If it is neither.
    """
    path = Path(name).expanduser()
    return path if path.is_file() else shipped_config(name)


def config_purpose(path: Path) -> str:
    """Return the first line of a configuration's header, which says what it is for."""
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").rstrip()


def _files() -> dict[str, Path]:
    """Return the files of all configurations by name."""
    package = Path(pks4_lightning.__file__).parent
    installed = package / "configs"  # in a wheel; in the source tree they are at the top level
    folders = {
        "": installed if installed.is_dir() else package.parent / "configs",
        "demo/": package / "demo" / "configs",
    }
    return {
        prefix + path.relative_to(folder).with_suffix("").as_posix(): path
        for prefix, folder in folders.items()
        for path in folder.rglob("*.yaml")
    }
