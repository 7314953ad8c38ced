"""Whether numbers in the settings can be meant."""

__all__ = ["check_counts"]


def check_counts(least: int = 1, **counts: float) -> None:
    """Refuse numbers that are too small.

    Args:
        least: The smallest allowed.
        counts: Settings of the data module, by name.

    Raises:
        ValueError: If one is smaller.
    """
    for name, value in counts.items():
        if value < least:
            raise ValueError(f"data.{name} is {value:g}; it must be at least {least}.")
