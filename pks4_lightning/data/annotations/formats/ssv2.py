"""Something-Something V2: a JSON list of ``{"id", "template", ...}``, and ``ID.webm`` files."""

from pks4_lightning.data.annotations.entry import Entry, read_objects, relative_path, text_of
from pks4_lightning.data.annotations.labels import plain_template
from pks4_lightning.data.annotations.record import DataFormat, Part, Published

__all__ = ["SSV2"]


def read_ssv2(part: Part) -> list[Entry]:
    """Read the list; the published test split has no templates, so its entries have no label.

    Args:
        part: Such as ``something-something-v2-train.json``.

    Raises:
        ValueError: If it is not a list of objects with an id each.
    """
    entries = []
    for number, video in enumerate(read_objects(part.source), start=1):
        identity = text_of(video, "id", part.source, number)
        label = video.get("template", video.get("label"))
        label = None if label is None else plain_template(str(label))
        place = f"id {identity}"
        entries.append(Entry(relative_path(identity, part.source, place), label, place))
    return entries


SSV2 = DataFormat(
    name="ssv2",
    read=read_ssv2,
    recognises=lambda sniffed: sniffed.is_json,
    splits={
        "train": ("train.json", "something-something-v2-train.json"),
        "val": ("validation.json", "something-something-v2-validation.json"),
        "test": ("test.json", "something-something-v2-test.json"),
    },
    labels=("labels.json", "something-something-v2-labels.json"),
    needs_labels=True,
    videos=("20bn-something-something-v2", "videos", "frames", ""),
    published=(Published("Something-Something V2", 174, {"train": 168_913, "val": 24_777}),),
)
