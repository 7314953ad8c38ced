"""Split videos at random, balanced by class and without dividing groups."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from pks4_lightning.batch import Split
from pks4_lightning.data.seeding import stable_seed

__all__ = ["deal_into_splits"]


def deal_into_splits(
    labels: Sequence[str], groups: Sequence[str], shares: Mapping[Split, float], *, seed: int = 0
) -> list[Split]:
    """Choose a split for every video.

    Groups that contain all videos of a class go to training. The others are assigned from the
    largest to the smallest, equal ones in random order, each to the split that lacks most of its
    classes. If the groups allow, every split gets a video of every class, training first.

    Args:
        labels: Class of every video.
        groups: Group of every video. Videos that were recorded together, and must not be split
            between training and testing, have the same group.
        shares: Share of each split, above 0, summing to 1; training comes first.
        seed: Seed of the random order.

    Returns:
        The split of every video. It does not depend on the order in which videos are listed.

    Raises:
        ValueError: If there are too few groups for the splits.
    """
    members: dict[str, Counter[str]] = defaultdict(Counter)
    for label, group in zip(labels, groups, strict=True):
        members[group][label] += 1
    groups_of = Counter(label for counts in members.values() for label in counts)
    # without the only group that has it, training could not learn a class
    sole = {group for group, counts in members.items() if any(groups_of[c] == 1 for c in counts)}
    if len(members) < len(shares) or len(members) - len(sole) < len(shares) - 1:
        hold = f", {len(sole)} of which hold all videos of a class," if sole else ""
        raise ValueError(
            f"{len(members)} groups{hold} are too few for {len(shares)} splits "
            f"({', '.join(shares)}), because a group is never divided; group the videos more "
            "finely, or ask for fewer splits."
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
        # the last (smallest) groups are reserved for splits that are still empty
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
    """Return the number of videos of every class for each split: its share, at least one."""
    targets: dict[Split, dict[str, float]] = {split: {} for split in shares}
    first, *others = shares
    for label, count in total.items():
        left = float(count)
        for split in others:
            targets[split][label] = min(max(1.0, shares[split] * count), max(0.0, left - 1))
            left -= targets[split][label]
        targets[first][label] = left
    return targets
