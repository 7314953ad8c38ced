"""A record, beside the results of an experiment, of the clips that they belong to."""

import hashlib
import json
from pathlib import Path

from pks4_lightning.cli.settings import Settings
from pks4_lightning.data.annotations.layout import DataLayout
from pks4_lightning.files import write_json

__all__ = ["keep_data_set"]

_FILE = "data_set.json"
_GENERATED = "dataset.json"
"""What determines the videos of a generated data set, in its folder."""
_OF_THE_LIST = ("train", "val", "test", "labels", "videos", "fold", "frame_template")


def keep_data_set(out: Path, settings: Settings) -> None:
    """Record the clips that a data set lists, or refuse a folder with results of others.

    Results are told apart by their settings without ``data.root``, so that a data set may be moved.

    Args:
        out: The folder of the results.
        settings: From :func:`~pks4_lightning.cli.settings.resolve`.

    Raises:
        FileNotFoundError: If the data set has no annotations.
        ValueError: If the folder holds results of other clips.
    """
    path, ours = out / _FILE, _listed(settings)
    if not path.is_file():
        write_json(path, ours)
        return
    kept = json.loads(path.read_text(encoding="utf-8"))
    if any(kept.get(name, value) != value for name, value in ours.items()):
        raise ValueError(
            f"{out} holds results of other clips than {settings['data']['root']} lists: choose "
            "another --out."
        )


def _listed(settings: Settings) -> dict[str, int | str]:
    """Return the number of training and test clips, and a digest of their paths and labels.

    Generated sets with other pictures list the same paths and labels, so what determines their
    pictures counts, too. Records of earlier versions lack it.
    """
    data = settings["data"]
    layout = DataLayout(
        data["root"],
        annotation_format=data["format"],
        **{name: data[name] for name in _OF_THE_LIST},
    )
    lines = sorted(
        f"{split} {entry.label} {entry.video} {entry.span or ''}\n"
        for split in ("train", "test")
        for entry in layout.entries(split)
    )
    digest = hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape"))
    listed: dict[str, int | str] = {"num_clips": len(lines), "sha256": digest.hexdigest()}
    generated = Path(data["root"], _GENERATED)
    if generated.is_file():
        listed["generated"] = hashlib.sha256(generated.read_bytes()).hexdigest()
    return listed
