"""Which published data set annotations may be a copy of, to compare the numbers of videos."""

from pks4_lightning.data.annotations.reading import FORMATS
from pks4_lightning.data.annotations.record import Published

__all__ = ["official_counts"]


def official_counts(format_name: str, num_classes: int) -> Published | None:
    """Find the published data set that annotations may be a copy of.

    Args:
        format_name: As ``data.format`` has it.
        num_classes: Number of label names.

    Returns:
        The first one with as many classes and this format, or any format that suits lists of one's
        own; ``None`` if there is none.
    """
    given = FORMATS.get(format_name)
    if given is None:
        return None
    candidates = FORMATS.values() if given.is_anybodys else (given,)
    published = (known for record in candidates for known in record.published)
    return next((known for known in published if known.num_classes == num_classes), None)
