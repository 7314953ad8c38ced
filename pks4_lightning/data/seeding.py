"""Seeds that depend only on what they are used for.

Every random draw of a clip comes from a generator seeded here. A clip is therefore the same in
whichever process it is prepared, and whatever was prepared before it.
"""

import hashlib

import torch

__all__ = ["generator", "stable_seed"]


def stable_seed(*parts: int | str) -> int:
    """Hash numbers and names to a seed that is the same on every machine and in every run.

    Args:
        parts: The purpose of the draw, such as seed, epoch, video and repeat. Their order matters.

    Returns:
        A number from 0 to 2**63 - 1.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """Return a CPU generator seeded by :func:`stable_seed`."""
    return torch.Generator().manual_seed(stable_seed(*parts))
