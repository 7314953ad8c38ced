"""Let the towers of transformers use this package's attention."""

from typing import Any

from torch import Tensor

from pks4_lightning.ops.attention import attention

__all__ = ["register_attention"]

_NAME = "pks4_sdpa"


def register_attention() -> str:
    """Make :func:`~pks4_lightning.ops.attention.attention` known to transformers.

    Returns:
        Its name, for ``attn_implementation``.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _attend)
    return _NAME


def _attend(
    _module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend to all tokens, as image towers do; heads come before tokens in, after them out."""
    mixed = attention(query, key, value, attn_mask=attention_mask, scale=scaling, dropout_p=dropout)
    return mixed.transpose(1, 2).contiguous(), None
