import pytest
import torch
from torch.nn import functional as F

from pks4_lightning.training.learning.loss import class_weights, cross_entropy
from pks4_lightning.training.learning.recipe import Recipe

LABELS = [0] * 6 + [2] * 2 + [3] * 4


def test_balanced_weights_make_every_class_count_alike():
    weights = class_weights("balanced", LABELS, num_classes=5)
    totals = torch.tensor(LABELS).bincount(minlength=5) * weights
    torch.testing.assert_close(totals, torch.tensor([4.0, 0.0, 4.0, 4.0, 0.0]))
    assert totals.sum() == len(LABELS)  # the mean over videos is 1


def test_weights_may_be_given_or_not():
    assert class_weights(None, LABELS, num_classes=4) is None
    given = class_weights([1.0, 0.0, 2.0, 3.0], LABELS, num_classes=4)
    assert given.tolist() == [1.0, 0.0, 2.0, 3.0]


def test_weights_that_are_not_one_per_class_are_refused():
    with pytest.raises(ValueError, match="has 2 weights for 4 classes: give one per class"):
        class_weights([1.0, 2.0], LABELS, num_classes=4)
    with pytest.raises(
        ValueError, match=r"recipe.class_weights\[1\] is -2.0; it must be at least 0"
    ):
        Recipe(class_weights=[1.0, -2.0])


def test_a_classs_part_of_the_loss_is_multiplied_by_its_weight():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, generator=generator)
    target = torch.rand(3, 4, generator=generator).softmax(-1)  # soft labels, as from mixing
    weights = torch.tensor([1.0, 0.5, 2.0, 0.0])
    smoothed = 0.9 * target + 0.1 / 4
    parts = -smoothed * logits.log_softmax(-1)
    loss = cross_entropy(logits, target, label_smoothing=0.1, weights=weights)
    torch.testing.assert_close(loss, (parts * weights).sum(-1).mean())
    plain = cross_entropy(logits, target, label_smoothing=0.1, weights=None)
    torch.testing.assert_close(plain, F.cross_entropy(logits, smoothed))
