"""The videos of all splits, with consistent class numbers, and their quarantine status."""

from collections.abc import Sequence
from pathlib import Path

from pks4_lightning.batch import Split, Stage
from pks4_lightning.data.annotations.labels import match_label_order
from pks4_lightning.data.annotations.layout import DataLayout
from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.inspection.manifest import KnownFiles, default_manifest, read_manifest
from pks4_lightning.data.inspection.probe import FileRecord
from pks4_lightning.data.inspection.quarantine import apply_manifest

__all__ = ["SplitVideos", "stages_of"]

_STAGES: dict[str, tuple[Stage, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("predict",),
}


def stages_of(stage: str | None, *, predicts: bool) -> tuple[Stage, ...]:
    """Return the splits that a stage of Lightning's reads.

    Args:
        stage: ``fit``, ``validate``, ``test`` or ``predict``; ``None``: all.
        predicts: Whether there are videos to predict.
    """
    if stage in _STAGES:
        return _STAGES[stage]
    return ("train", "val", "test", "predict") if predicts else ("train", "val", "test")


class SplitVideos:
    """Reads each split once, when it is first needed.

    Args:
        manifest: Result of `pks4 data index`; ``None`` uses the data set's own manifest, if there
            is one.
    """

    def __init__(self, manifest: str | None = None) -> None:
        self.videos: dict[Stage, VideoList] = {}
        """Videos by split, in the order of ``video_index``."""
        self.known: dict[Stage, KnownFiles] = {}
        """Status in the manifest of the videos of each split."""
        self.label_names: list[str] = []
        """Names of all classes, by class index; empty until a labelled split has been read."""
        self._manifest = manifest
        self._records: dict[str, FileRecord] | None = None
        self._label_order: list[str] | None = None

    def read(self, layout: DataLayout, splits: Sequence[Split]) -> None:
        """Read splits that have not been read yet, and apply the manifest to them.

        Args:
            layout: Finds the files of the data set.
            splits: The splits to read.

        Raises:
            FileNotFoundError: If annotations or videos cannot be found.
            ValueError: If annotations are malformed or a label is unknown.
        """
        for split in splits:
            if split in self.videos:
                continue
            self.videos[split] = layout.read(split)
            self.label_names = self._renumber(layout.label_names(), (split,))
            self._apply_manifest(split, layout.root)

    def number_as(self, label_names: Sequence[str]) -> None:
        """Number the classes of all splits, also those read later, in the order of these names.

        Args:
            label_names: The same names as the data's, in another order.

        Raises:
            ValueError: If the names are not the same.
        """
        self._label_order = list(label_names)
        self.label_names = self._renumber(self.label_names, tuple(self.videos))

    def _renumber(self, label_names: list[str], splits: Sequence[Stage]) -> list[str]:
        """Renumber splits to match these names; return the names in the new order."""
        if self._label_order is None:
            return label_names
        order = match_label_order(data=label_names, wanted=self._label_order)
        self.videos |= {split: self.videos[split].renumbered(order) for split in splits}
        return self._label_order

    def _apply_manifest(self, split: Stage, root: Path) -> None:
        if self._records is None:
            place = default_manifest(root) if self._manifest is None else Path(self._manifest)
            if self._manifest is None and not place.is_file():
                return
            self._records = read_manifest(place)
        self.videos[split], self.known[split] = apply_manifest(
            self.videos[split], self._records, str(root), split=split
        )
