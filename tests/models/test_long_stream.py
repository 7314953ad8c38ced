"""A stream of ten thousand frames: the state does not grow, and the logits stay accurate."""

import logging

import pytest
import torch
from torch.utils import _pytree as pytree

from tests.helpers.memory import resident_bytes

logger = logging.getLogger(__name__)

NUM_FRAMES = 10_000
CHUNK = 50


@pytest.mark.slow
@torch.inference_mode()
def test_ten_thousand_frames(make_classifier):
    classifier = make_classifier(causal=True).eval()
    draw = torch.Generator().manual_seed(0)
    exact, rounded = classifier.initial_state(1), classifier.initial_state(1)
    bytes_of_state, resident, drift = set(), [], []
    for first in range(0, NUM_FRAMES, CHUNK):
        frames = torch.randn(1, 3, CHUNK, 32, 32, generator=draw)
        logits, exact = classifier.steps(frames, exact)
        with torch.autocast("cpu", torch.bfloat16):
            coarse, rounded = classifier.steps(frames, rounded)
        assert logits.isfinite().all()
        assert coarse.isfinite().all()
        drift.append(float((logits - coarse).abs().max()))
        bytes_of_state.add(sum(part.nbytes for part in pytree.tree_leaves(exact)))
        if first >= NUM_FRAMES // 5:
            resident.append(resident_bytes())
    late = drift[NUM_FRAMES // 10 // CHUNK :]  # before that, the mean is over few frames
    growth = max(resident) - resident[0]
    logger.info("%s bytes of state, %d resident bytes more", bytes_of_state, growth)
    logger.info("drift: %.2g at first, then %.2g at most, %.2g", drift[0], max(late), drift[-1])
    assert len(bytes_of_state) == 1
    assert growth <= 2**20
    assert max(late) <= 1e-2
