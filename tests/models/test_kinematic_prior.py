import pytest
import torch

from pks4_lightning.models.kinematic_prior import (
    CorrelationOperator,
    KinematicPriorEncoder,
    VariationOperator,
)

D = 6


@pytest.mark.parametrize(
    ("operator", "count"), [(VariationOperator, 750_848), (CorrelationOperator, 834_624)]
)
def test_has_the_papers_number_of_parameters(operator, count):
    with torch.device("meta"):
        module = operator(768)
    assert sum(parameter.numel() for parameter in module.parameters()) == count


@pytest.mark.parametrize("operator", [VariationOperator, CorrelationOperator])
def test_sees_the_context_frames_and_no_others(randomise, draw, operator):
    module = randomise(operator(D, d_prior=4)).eval()
    x = draw(1, 9, D, 3, 3)
    y = module(x)
    x[:, 4] += draw(1, D, 3, 3, seed=1)
    changed = (module(x) != y).flatten(2).any(2)[0]
    assert changed.tolist() == [False] * 2 + [True] * 5 + [False] * 2


@pytest.mark.parametrize("operator", [VariationOperator, CorrelationOperator])
def test_clips_do_not_mix_outside_batch_statistics(randomise, draw, operator):
    module = randomise(operator(D, d_prior=4)).eval()
    x = draw(3, 4, D, 3, 3)
    torch.testing.assert_close(module(x)[1:2], module(x[1:2]))


def test_static_clips_all_look_the_same_to_the_variation_operator(randomise, draw):
    module = randomise(VariationOperator(D, d_prior=4)).eval()
    clips = draw(2, 1, D, 3, 3).expand(2, 5, D, 3, 3)
    y = module(clips)
    torch.testing.assert_close(y, y[:1, :1].expand_as(y))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (9, 9), (12, 5)], ids=str)
@pytest.mark.parametrize("num_frames", [1, 2, 7], ids=lambda T: f"T{T}")
def test_takes_any_grid_and_any_number_of_frames(randomise, draw, num_frames, shape):
    encoder = randomise(KinematicPriorEncoder(D, d_prior=4))
    x = draw(2, num_frames, D, *shape)
    assert encoder(x).shape == x.shape


@pytest.mark.parametrize("context_frames", [0, 2, 4, 6])
def test_every_row_of_table_8_runs(draw, context_frames):
    encoder = KinematicPriorEncoder(D, d_prior=4, context_frames=context_frames)
    assert encoder(draw(1, 3, D, 2, 2)).isfinite().all()


def test_each_operator_adds_to_what_it_is_given(randomise, draw):
    encoder = randomise(KinematicPriorEncoder(D, d_prior=4)).eval()
    x = draw(1, 3, D, 4, 4)
    with_correlation = x + encoder.correlation(x)
    expected = with_correlation + encoder.variation(with_correlation)
    torch.testing.assert_close(encoder(x), expected)


def test_switched_off_it_is_the_identity(draw):
    encoder = KinematicPriorEncoder(D, use_correlation=False, use_variation=False)
    x = draw(1, 3, D, 2, 2)
    assert torch.equal(encoder(x), x)
    assert not list(encoder.parameters())


def test_the_encoder_is_not_the_identity_at_the_start(draw):
    encoder = KinematicPriorEncoder(D)
    x = draw(2, 4, D, 4, 4)
    assert (encoder(x) - x).norm() > 0.1 * x.norm()
