"""Count the bytes that operators read, write and merely copy.

Most operators of a temporal module are bound by memory, not arithmetic, so these bytes explain its
time better than FLOPs do. An operator counts as one that reads its inputs and writes its outputs,
each element once; what libraries and operators of this package move inside is not seen. Views move
nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

__all__ = ["Traffic", "count_traffic"]

_aten = torch.ops.aten

# their outputs hold values of the inputs, in another place, order or dtype, and zeros
_COPIES = {
    *(_aten._to_copy, _aten.clone, _aten.copy_),
    *(_aten.cat, _aten.stack, _aten.split_with_sizes_copy),
    *(_aten.constant_pad_nd, _aten.flip, _aten.repeat, _aten.roll),
    *(_aten.gather, _aten.index, _aten.index_select),
    *(_aten.as_strided_scatter, _aten.select_scatter, _aten.slice_scatter),
    *(_aten.select_backward, _aten.slice_backward, _aten.unfold_backward),
}
# what they write to, they do not read
_OVERWRITES = {_aten.copy_, _aten.fill_, _aten.zero_}
_ALLOCATIONS = {
    *(_aten.empty, _aten.empty_like, _aten.empty_strided),
    *(_aten.new_empty, _aten.new_empty_strided),
}


@dataclass(frozen=True)
class Traffic:
    """Bytes moved by the operators of some work."""

    touched: int = 0
    """Read and written by all operators."""
    copied: int = 0
    """Of these, by operators that only copy, join, cut, reorder, pad or convert."""


def count_traffic(work: Callable[[], object]) -> Traffic:
    """Count the bytes that a call moves, including those of a backward pass in it.

    Args:
        work: The function to call. It may compute on fake tensors or on the meta device.

    Example:
        Two times four numbers of 4 bytes are read and written together.

        >>> x, y = torch.ones(4), torch.zeros(4)
        >>> count_traffic(lambda: torch.cat([x, y]))
        Traffic(touched=64, copied=64)
    """
    with _Counter() as counter:
        work()
    return Traffic(counter.touched, counter.copied)


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.touched, self.copied = 0, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if func.overloadpacket in _ALLOCATIONS:
            return output
        given, read, written = [], [], []
        for argument, value in _arguments(func, args, kwargs):
            tensors = [x for x in tree_iter(value) if isinstance(x, Tensor)]
            changes = argument.alias_info is not None and argument.alias_info.is_write
            given += tensors
            if changes:
                written += tensors
            if not (argument.is_out or (changes and func.overloadpacket in _OVERWRITES)):
                read += tensors
        old = {_storage(x) for x in given}
        results = (x for x in tree_iter(output) if isinstance(x, Tensor))
        written += [x for x in results if _storage(x) not in old]
        if written:  # otherwise the result is a view or a number
            moved = sum(map(_num_bytes, [*read, *written]))
            self.touched += moved
            if func.overloadpacket in _COPIES:
                self.copied += moved
        return output


def _arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
    """Pair an operator's declared arguments with their values."""
    declared = func._schema.arguments
    yield from zip(declared, args, strict=False)  # those with a default may be left out
    for argument in declared[len(args) :]:
        if argument.name in kwargs:
            yield argument, kwargs[argument.name]


def _storage(x: Tensor) -> int:
    return x.untyped_storage()._cdata


def _num_bytes(x: Tensor) -> int:
    """Count every element once, even if strides visit it several times."""
    extent = 1 + sum((n - 1) * step for n, step in zip(x.shape, x.stride(), strict=True))
    return min(x.numel(), extent) * x.element_size()
