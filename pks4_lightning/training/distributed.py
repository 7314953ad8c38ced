"""Collectives: gather objects, maximum over ranks."""

from typing import TypeVar

import torch.distributed
from torch import Tensor

__all__ = ["all_gather_objects", "all_reduce_max"]

T = TypeVar("T")


def all_gather_objects(items: list[T]) -> list[T]:
    """Return the items of all ranks on every rank; all ranks must call it.

    Args:
        items: The items of this rank; they must be picklable.
    """
    if not _are_many():
        return items
    per_rank: list[list[T]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(per_rank, items)
    return [item for rank_items in per_rank for item in rank_items]


def all_reduce_max(values: Tensor) -> Tensor:
    """Return the elementwise maximum over all ranks; all ranks must call it.

    Args:
        values: The values of this rank, on its device, integers or floats; overwritten.
    """
    if _are_many():
        torch.distributed.all_reduce(values, op=torch.distributed.ReduceOp.MAX)
    return values


def _are_many() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
