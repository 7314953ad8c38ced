"""The configurations that come with the package, found by name from anywhere."""

import difflib
from pathlib import Path

import pks4_lightning

__all__ = ["config_names", "config_purpose", "find_config", "shipped_config"]


def config_names() -> list[str]:
    """Return the names of all configurations, such as ``ssv2`` and ``flexible/all``."""
    folder = _folder()
    files = folder.rglob("*.yaml")
    names = [path.relative_to(folder).with_suffix("").as_posix() for path in files]
    return sorted(names, key=lambda name: ("/" in name, name))


def shipped_config(name: str) -> Path:
    """Return the file of a configuration of the package.

    Args:
        name: Such as ``ssv2``; ``ssv2.yaml`` and ``configs/ssv2.yaml`` mean the same.

    Raises:
        FileNotFoundError: If there is none of that name; the nearest are named.
    """
    plain = name.removeprefix("./").removeprefix("configs/").removesuffix(".yaml")
    known = config_names()
    if plain in known:
        return _folder() / f"{plain}.yaml"
    close = difflib.get_close_matches(plain, known, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise FileNotFoundError(
        f"There is no configuration '{name}', neither a file nor one of the package's; {hint}"
        "`pks4 configs` lists them."
    )


def find_config(name: str) -> Path:
    """Return the file that ``--config`` names: a path, or else a configuration of the package.

    Args:
        name: A file, which wins, or a name as in :func:`shipped_config`.

    Raises:
        FileNotFoundError: If it is neither.
    """
    path = Path(name).expanduser()
    return path if path.is_file() else shipped_config(name)


def config_purpose(path: Path) -> str:
    """Return the first line of a configuration's header, which says what it is for."""
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").rstrip()


def _folder() -> Path:
    """Return the folder of the configurations: in a wheel, or at the top of the source tree."""
    package = Path(pks4_lightning.__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"
