import pytest
import torch

from pks4_lightning.ops.position_resize import resize_frame_positions, resize_grid_positions


def test_the_own_grid_and_length_change_no_bit():
    positions = torch.randn(9, 4)
    assert resize_grid_positions(positions, (3, 3)) is positions
    assert resize_frame_positions(positions, 9) is positions


@pytest.mark.parametrize("grid_size", [(1, 1), (6, 6), (2, 5)])
def test_a_plane_over_the_grid_stays_one(grid_size):
    side = 4
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    plane = torch.stack([rows + 0.5, columns + 0.5], dim=-1).flatten(0, 1) / side
    ours = resize_grid_positions(plane, grid_size).view(*grid_size, 2)
    assert ours.mean((0, 1)).tolist() == pytest.approx([0.5, 0.5])
    # the plane's slope along rows and columns is kept
    assert (ours[..., 0].diff(dim=0) > 0).all()
    assert ours[..., 0].diff(dim=1).abs().max() < 1e-6 if grid_size[1] > 1 else True
    assert (ours[..., 1].diff(dim=1) > 0).all()


def test_half_precision_is_interpolated_in_float32_under_autocast_too():
    positions = torch.randn(4, 6)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = resize_frame_positions(positions, 7), resize_grid_positions(positions, (3, 3))
    assert [x.dtype for x in mixed] == [torch.float32] * 2
    torch.testing.assert_close(mixed[0], resize_frame_positions(positions, 7), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_embeddings_in_half_precision_are_rounded_once_and_keep_it(dtype):
    for resize, wanted in ((resize_frame_positions, 7), (resize_grid_positions, (2, 5))):
        positions = torch.randn(4, 6).to(dtype)
        expected = resize(positions.float(), wanted).to(dtype)
        torch.testing.assert_close(resize(positions, wanted), expected, rtol=0, atol=0)


def test_gradients_reach_every_embedding():
    for resize, wanted in ((resize_frame_positions, 7), (resize_grid_positions, (5, 5))):
        positions = torch.randn(4, 6, requires_grad=True)
        resize(positions, wanted).square().sum().backward()
        assert (positions.grad != 0).all()
