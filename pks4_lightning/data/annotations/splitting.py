"""Dealing videos without splits into some: classes evenly, groups whole, by a seed."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from pks4_lightning.batch import Split
from pks4_lightning.data.seeding import stable_seed

__all__ = ["deal_into_splits"]


def deal_into_splits(
    labels: Sequence[str], groups: Sequence[str], shares: Mapping[Split, float], *, seed: int = 0
) -> list[Split]:
    """Choose a split for every video.

    Groups that hold all videos of a class are trained on. Of the others large ones come first,
    equal ones in an order drawn by the seed; each goes to the split that lacks most of its classes.
    Every split is to have a video of every class, training before the others, if the groups allow.

    Args:
        labels: Class of every video.
        groups: What was filmed together, and must not be trained and tested on, bears one name.
        shares: Share of the videos of each split, above 0, summing to 1; training comes first.
        seed: Of the order.

    Returns:
        A split per video. It does not depend on the order in which videos are listed.

    Raises:
        ValueError: If there are too few groups for the splits.
    """
    members: dict[str, Counter[str]] = defaultdict(Counter)
    for label, group in zip(labels, groups, strict=True):
        members[group][label] += 1
    groups_of = Counter(label for counts in members.values() for label in counts)
    # without the only group of a class, that class could not be learnt
    sole = {group for group, counts in members.items() if any(groups_of[c] == 1 for c in counts)}
    if len(members) < len(shares) or len(members) - len(sole) < len(shares) - 1:
        hold = f", {len(sole)} of which hold all videos of a class," if sole else ""
        raise ValueError(
            f"{len(members)} groups{hold} do not make {len(shares)} splits ({', '.join(shares)}), "
            "as a group is never parted; group the videos more finely, or ask for fewer splits."
        )
    total = Counter(labels)
    lacking = _targets(total, shares)
    order = sorted(
        members,
        key=lambda group: (
            group not in sole, -members[group].total(), stable_seed("split", seed, group)
        ),
    )  # fmt: skip
    chosen: dict[str, Split] = {}
    empty = list(shares)
    for place, group in enumerate(order):
        # the last groups, which are the smallest, are for splits that have none yet
        candidates = empty if len(order) - place <= len(empty) else list(shares)
        if group in sole:
            candidates = [next(iter(shares))]
        need = {
            split: sum(
                count * lacking[split][label] / total[label]
                for label, count in members[group].items()
            )
            for split in candidates
        }
        best = max(candidates, key=need.__getitem__)
        chosen[group] = best
        empty = [split for split in empty if split != best]
        for label, count in members[group].items():
            lacking[best][label] -= count
    return [chosen[group] for group in groups]


def _targets(
    total: Mapping[str, int], shares: Mapping[Split, float]
) -> dict[Split, dict[str, float]]:
    """Return how many videos of every class a split should have: its share, at least one."""
    targets: dict[Split, dict[str, float]] = {split: {} for split in shares}
    first, *others = shares
    for label, count in total.items():
        left = float(count)
        for split in others:
            targets[split][label] = min(max(1.0, shares[split] * count), max(0.0, left - 1))
            left -= targets[split][label]
        targets[first][label] = left
    return targets
