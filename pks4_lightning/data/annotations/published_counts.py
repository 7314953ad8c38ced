"""Identify the published data set of some annotations, to compare the number of videos."""

from pks4_lightning.data.annotations.reading import FORMATS
from pks4_lightning.data.annotations.record import Published

__all__ = ["official_counts"]


def official_counts(format_name: str, num_classes: int) -> Published | None:
    """Find the published data set that annotations may be a copy of.

    Args:
        format_name: As in ``data.format``.
        num_classes: Number of label names.

    Returns:
        The first one with the same number of classes whose format is this one or suits any list;
        ``None`` if there is none.
    """
    given = FORMATS.get(format_name)
    if given is None:
        return None
    candidates = FORMATS.values() if given.is_anybodys else (given,)
    published = (known for record in candidates for known in record.published)
    return next((known for known in published if known.num_classes == num_classes), None)
