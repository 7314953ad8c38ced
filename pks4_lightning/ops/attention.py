"""Softmax attention by PyTorch's fused operator, in float32 where half precision is slow.

Reference:
    Vaswani et al., "Attention Is All You Need", 2017, https://arxiv.org/abs/1706.03762, Equation 1.

Dimensions:
    N: sequences
    h: heads
    Q, L: queries, and keys and values
    d: width of a head
"""

from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pks4_lightning.ops.autocast import without_autocast

__all__ = ["attention"]


def attention(
    query: Float[Tensor, "N h Q d"],
    key: Float[Tensor, "N h L d"],
    value: Float[Tensor, "N h L d"],
    **settings: Any,
) -> Float[Tensor, "N h Q d"]:
    """Average the values, weighted by the softmax of the products of queries and keys.

    On a CPU, the fused operator's backward pass in bfloat16 and float16 takes several times as
    long as in float32 (``benchmarks/attention.py``). There, it computes in float32 and only the
    result is rounded, which is more exact as well.

    Args:
        query: Queries.
        key: Keys.
        value: Values.
        settings: Further arguments of :func:`torch.nn.functional.scaled_dot_product_attention`.

    Returns:
        The averages, in the dtype of the queries.
    """
    # fake tensors, with which costs are counted on a CPU, stand for those of a GPU
    is_slow = query.device.type == "cpu" and query.dtype.itemsize < 4 and type(query) is Tensor
    if not is_slow:
        return F.scaled_dot_product_attention(query, key, value, **settings)
    with without_autocast(query.device):
        exact = F.scaled_dot_product_attention(
            query.float(), key.float(), value.float(), **settings
        )
    return exact.to(query.dtype)
