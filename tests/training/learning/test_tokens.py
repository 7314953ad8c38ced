import pytest

from pks4_lightning.models.config import PKS4Config
from pks4_lightning.training.learning.recipe import Recipe
from pks4_lightning.training.learning.tokens import check_tokens

FROZEN = Recipe(trains="after_insertion", mix_prob=0.0)
CONFIG = PKS4Config(num_classes=2)


def test_a_head_can_be_trained_on_tokens():
    check_tokens(FROZEN, CONFIG, is_sharded=False)
    check_tokens(Recipe(trains="head", mixup_alpha=0, cutmix_alpha=0), CONFIG, is_sharded=False)


@pytest.mark.parametrize(
    ("config", "is_sharded", "message"),
    [
        (PKS4Config(num_classes=2, compile=True), False, "set --model.classifier.compile false"),
        (CONFIG, True, r"the whole classifier on every rank: choose another trainer\.strategy"),
    ],
)
def test_a_classifier_that_cannot_start_from_tokens_is_refused(config, is_sharded, message):
    with pytest.raises(ValueError, match=message):
        check_tokens(FROZEN, config, is_sharded=is_sharded)
