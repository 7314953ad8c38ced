"""Check numbers in the settings."""

__all__ = ["check_counts"]


def check_counts(least: int = 1, **counts: float) -> None:
    """Refuse numbers below a minimum.

    Args:
        least: The minimum.
        counts: Settings of the data module, by name.

    Raises:
        ValueError: If a number is smaller.
    """
    for name, value in counts.items():
        if value < least:
            raise ValueError(f"data.{name} is {value:g}; it must be at least {least}.")
