import numpy as np
import pytest
import torch

from pks4_lightning.training.learning.mixing import TwinWarning, mix_clips
from pks4_lightning.training.learning.recipe import Recipe

B, T, SIZE, K = 4, 3, 16, 5
LABEL = torch.tensor([0, 1, 2, 3])


def clips():
    """Clips filled with their index, so that a pixel identifies its clip."""
    return torch.arange(B, dtype=torch.float32)[:, None, None, None, None].expand(
        B, 3, T, SIZE, SIZE
    )


def mix(recipe, seed=0):
    return mix_clips(clips(), LABEL, num_classes=K, recipe=recipe, rng=np.random.default_rng(seed))


MIXUP = Recipe(mixup_alpha=0.8, cutmix_alpha=0.0)
CUTMIX = Recipe(mixup_alpha=0.0, cutmix_alpha=1.0)


@pytest.mark.parametrize("recipe", [MIXUP, CUTMIX, Recipe()], ids=["mixup", "cutmix", "both"])
@pytest.mark.parametrize("seed", range(8))
def test_labels_are_mixed_in_the_ratio_of_the_pixels(recipe, seed):
    video, target = mix(recipe, seed)
    own_share = target[torch.arange(B), LABEL]
    expected = own_share * torch.arange(B) + (1 - own_share) * torch.arange(B).flip(0)
    torch.testing.assert_close(video.mean(dim=(1, 2, 3, 4)), expected)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(B))


@pytest.mark.parametrize("seed", range(4))
def test_cutmix_puts_one_box_into_all_frames_and_channels(seed):
    video, _ = mix(CUTMIX, seed)
    assert set(video[0].unique().tolist()) <= {0.0, 3.0}
    assert torch.equal(video, video[:, :1, :1].expand_as(video))
    rows, columns = (video[0, 0, 0] == 3.0).nonzero(as_tuple=True)
    if len(rows):
        box = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
        assert box == len(rows), "the changed pixels form a full rectangle"


def test_same_seed_same_mixture_and_another_seed_another():
    first, again, other = mix(MIXUP, 1)[0], mix(MIXUP, 1)[0], mix(MIXUP, 2)[0]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_clips_given_are_left_as_they_are():
    video = clips().clone()
    mix_clips(video, LABEL, num_classes=K, recipe=CUTMIX, rng=np.random.default_rng(0))
    assert torch.equal(video, clips())


@pytest.mark.parametrize(
    "recipe", [Recipe(mix_prob=0.0), Recipe(mixup_alpha=0.0, cutmix_alpha=0.0)]
)
def test_switched_off_gives_one_hot_labels(recipe):
    video, target = mix(recipe)
    assert torch.equal(video, clips())
    assert torch.equal(target, torch.nn.functional.one_hot(LABEL, K).float())


def test_both_kinds_occur_when_both_are_on():
    whole = {bool(mix(Recipe(), seed)[0][0].unique().numel() == 1) for seed in range(20)}
    assert whole == {True, False}, "mixup leaves a clip uniform, cutmix does not"


@pytest.mark.parametrize("alpha", [0.2, 0.8, 3.0])
def test_shares_are_drawn_from_betas_distribution(alpha):
    recipe = Recipe(mixup_alpha=alpha, cutmix_alpha=0.0)
    shares = np.array([float(mix(recipe, seed)[1][0, 0]) for seed in range(1500)])
    # the variance of Beta(a, a) is 1 / (4 (2 a + 1))
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


@pytest.mark.parametrize(
    ("paths", "num_twins"),
    [
        ("aabb", 0),  # a is mixed with b
        ("aabbcc", 1),  # b is mixed with itself
        ("aa", 1),
        ("abcba", 2),  # videos drawn twice, as with balanced classes
        ("abc", 0),  # the middle clip is not mixed
        ("a", 0),
    ],
)
def test_clips_of_one_video_that_are_mixed_are_named_once(paths, num_twins, caplog):
    warning = TwinWarning()
    warning.watch(list(paths), Recipe(mix_prob=0.0))
    assert caplog.messages == []
    for _ in range(2):
        warning.watch(list(paths), Recipe())
    assert len(caplog.messages) == (num_twins > 0)
    if num_twins:
        assert f"in {num_twins} of the {len(paths) // 2} pairs" in caplog.text
        assert "an even --data.batch_size avoids it" in caplog.text
