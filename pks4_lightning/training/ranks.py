"""Bringing plain Python objects of all ranks together."""

from typing import TypeVar

import torch.distributed

__all__ = ["from_all_ranks"]

T = TypeVar("T")


def from_all_ranks(items: list[T]) -> list[T]:
    """Return the items of all ranks, on every rank; to be called by all of them.

    Args:
        items: This rank's; they must pickle.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return items
    per_rank: list[list[T]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(per_rank, items)
    return [item for rank_items in per_rank for item in rank_items]
