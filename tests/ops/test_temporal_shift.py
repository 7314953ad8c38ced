import pytest
import torch

from pks4_lightning.ops.temporal_shift import context_offsets, shift_frames


@pytest.mark.parametrize(
    ("offset", "expected"),
    [(0, [1, 2, 3]), (1, [2, 3, 0]), (-1, [0, 1, 2]), (2, [3, 0, 0]), (3, [0] * 3), (-7, [0] * 3)],
)
def test_frames_come_from_the_offset_and_zeros_from_beyond(offset, expected):
    x = torch.tensor([[1, 2, 3]])
    assert shift_frames(x, offset).tolist() == [expected]


def test_context_frames_lie_on_both_sides():
    assert context_offsets(4) == [-2, -1, 0, 1, 2]
    assert context_offsets(0) == [0]
    assert context_offsets(4, causal=True) == [-4, -3, -2, -1, 0]


@pytest.mark.parametrize("causal", [False, True])
def test_no_context_may_stand_for_the_previous_frame(causal):
    assert context_offsets(0, causal=causal, zero_context="previous") == [-1]
    assert context_offsets(2, zero_context="previous") == [-1, 0, 1]


@pytest.mark.parametrize("context_frames", [3, -2])
def test_a_lopsided_neighbourhood_is_refused(context_frames):
    with pytest.raises(ValueError, match=rf"context_frames \({context_frames}\) must be even"):
        context_offsets(context_frames)
