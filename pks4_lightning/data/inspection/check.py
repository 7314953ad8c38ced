"""Check a data set for problems before training."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.annotations.record import Published
from pks4_lightning.data.annotations.walking import walk
from pks4_lightning.data.inspection.probe import FileRecord
from pks4_lightning.data.inspection.quarantine import manifest_paths

__all__ = ["DataReport", "SplitReport", "check_data", "workers_needed"]

_NUM_NAMED = 3


@dataclass
class SplitReport:
    """The counts of one split."""

    listed: int
    missing: int
    unusable: int
    """Videos that exist on disk and are quarantined by the manifest."""
    per_class: list[int]
    """Listed videos of every class, including missing ones."""
    num_frames: list[int]
    """Lengths of the usable videos that are in the manifest."""

    @property
    def usable(self) -> int:
        """Videos that exist on disk and are not quarantined."""
        return self.listed - self.missing - self.unusable


@dataclass
class DataReport:
    """The result of ``pks4 data check``."""

    splits: dict[str, SplitReport]
    wrong: list[str] = field(default_factory=list)
    """Problems that would distort a score, one sentence each."""
    notes: list[str] = field(default_factory=list)
    """Other remarks."""


def check_data(
    splits: Mapping[str, VideoList],
    records: Mapping[str, FileRecord] | None,
    root: str,
    *,
    label_names: Sequence[str],
    official: Published | None = None,
) -> DataReport:
    """Compare the splits with the manifest, with each other and with the official numbers.

    Args:
        splits: The existing splits, each with its missing videos.
        records: The manifest; ``None`` if there is none.
        root: Folder that the manifest's paths are relative to.
        label_names: Names of all classes.
        official: The numbers published by the data set's authors.
    """
    paths = {name: manifest_paths(videos, root) for name, videos in splits.items()}
    records_of = {
        name: [(records or {}).get(path) for path in listed] for name, listed in paths.items()
    }
    report = DataReport(
        {
            name: _count(videos, records_of[name], len(label_names))
            for name, videos in splits.items()
        }
    )
    for name, videos in splits.items():
        _check_files(report, name, videos, records_of[name])
    _check_classes(report, label_names)
    _check_overlap(report, paths)
    if records is None:
        report.notes.append(
            "There is no manifest, so damaged, duplicate and short videos are unknown; run "
            "pks4 data index."
        )
    else:
        _check_contents(report, splits, paths, records_of)
    if official is not None:
        _compare(report, official)
    return report


def workers_needed(clips_per_second: float, *, wanted: float) -> int:
    """Return the number of workers needed for a rate of clips.

    Args:
        clips_per_second: Rate of one worker.
        wanted: Rate that the training needs.
    """
    return max(1, -int(-wanted // clips_per_second))


def _count(
    videos: VideoList, records: Sequence[FileRecord | None], num_classes: int
) -> SplitReport:
    counts = Counter((*videos.labels, *videos.missing_labels))
    known = [record for record in records if record is not None]
    gone = sum(record.status == "missing" for record in known)
    return SplitReport(
        listed=len(videos) + len(videos.missing),
        missing=len(videos.missing) + gone,
        unusable=sum(record.status not in ("ok", "missing") for record in known),
        per_class=[counts[label] for label in range(num_classes)],
        num_frames=[record.num_frames for record in known if record.status == "ok"],
    )


def _check_files(
    report: DataReport, name: str, videos: VideoList, records: Sequence[FileRecord | None]
) -> None:
    split = report.splits[name]
    bad = [record for record in records if record is not None and record.status != "ok"]
    # Training without some videos is still training; a score without them is another score.
    findings = report.notes if name == "train" else report.wrong
    if split.missing:
        named = [*videos.missing, *(r.path for r in bad if r.status == "missing")]
        findings.append(
            f"{split.missing} of {split.listed} {name} videos are missing, such as {_some(named)}."
        )
    if Path(videos.source) == Path(videos.folder):  # class folders, which list no files
        findings += walk(Path(videos.source)).remarks()
    damaged = [record for record in bad if record.status != "missing"]
    if damaged:
        kinds = Counter(record.status for record in damaged)
        listed = ", ".join(f"{number} {status}" for status, number in kinds.most_common())
        findings.append(
            f"{len(damaged)} of {split.listed} {name} videos cannot be used ({listed}), such as "
            + "; ".join(f"'{r.path}': {r.reason}" for r in damaged[:_NUM_NAMED])
            + "."
        )
    known = [record for record in records if record is not None]
    turned = sum(record.rotation != 0 or record.mirrored for record in known)
    if turned:
        report.notes.append(f"{turned} {name} videos are rotated or mirrored when decoded.")
    oblong = [record for record in known if record.pixel_aspect != "1"]
    if oblong:
        report.notes.append(
            f"{len(oblong)} {name} videos have non-square pixels, such as "
            f"'{oblong[0].path}' ({oblong[0].pixel_aspect}); they are used as stored."
        )
    unknown = sum(record is None for record in records)
    if 0 < unknown < len(records):
        report.notes.append(
            f"The manifest lacks {unknown} {name} videos; run pks4 data index again."
        )


def _check_classes(report: DataReport, label_names: Sequence[str]) -> None:
    for name, split in report.splits.items():
        empty = [
            label for label, number in zip(label_names, split.per_class, strict=True) if not number
        ]
        if empty and name == "train":
            report.wrong.append(
                f"{len(empty)} of {len(label_names)} classes have no training video, such as "
                f"{_some(empty)}."
            )
        elif empty:
            report.notes.append(
                f"{len(empty)} of {len(label_names)} classes have no {name} video, such as "
                f"{_some(empty)}."
            )


def _check_overlap(report: DataReport, paths: Mapping[str, Sequence[str]]) -> None:
    names = list(paths)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            both = sorted(set(paths[one]) & set(paths[other]))
            if both:
                report.wrong.append(
                    f"{len(both)} videos are listed in both {one} and {other}, such as "
                    f"{_some(both)}."
                )


def _check_contents(
    report: DataReport,
    splits: Mapping[str, VideoList],
    paths: Mapping[str, Sequence[str]],
    records: Mapping[str, Sequence[FileRecord | None]],
) -> None:
    """Find identical files: in two splits, within a split, or with two labels."""
    copies: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
    for name, videos in splits.items():
        for path, record, label in zip(paths[name], records[name], videos.labels, strict=True):
            if record is not None and record.sha256:
                copies[record.sha256].append((name, path, label))
    across: list[str] = []
    within: list[str] = []
    labels: list[str] = []
    for same in copies.values():
        if len({path for _, path, _ in same}) == 1:
            continue  # the same path in two splits has already been reported
        named = " = ".join(f"{name} '{path}'" for name, path, _ in same[:_NUM_NAMED])
        (across if len({name for name, _, _ in same}) > 1 else within).append(named)
        if len({label for _, _, label in same}) > 1:
            labels.append(named)
    if across:
        report.wrong.append(
            f"{len(across)} videos have a copy in another split, such as {across[0]}."
        )
    if labels:
        report.wrong.append(
            f"{len(labels)} videos have copies with another label, such as {labels[0]}."
        )
    if within:
        report.notes.append(
            f"{len(within)} videos have copies within their split, such as {within[0]}."
        )
    lengths = [number for split in report.splits.values() for number in split.num_frames]
    if lengths:
        report.notes.append(
            f"Videos have {min(lengths)} to {max(lengths)} frames, {median(lengths):g} in the "
            "middle."
        )


def _compare(report: DataReport, official: Published) -> None:
    for name, number in official.counts.items():
        split = report.splits.get(name)
        if split is None or split.listed == number:
            continue
        lost = "; copies differ, as videos are taken down" if not official.exact else ""
        report.notes.append(
            f"If this is {official.name}: it has {number:,} {name} videos, but {split.listed:,} "
            f"are listed{lost}."
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:_NUM_NAMED])
