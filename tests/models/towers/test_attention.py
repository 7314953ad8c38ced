import pytest
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from pks4_lightning.models.towers.attention import register_attention


@pytest.mark.parity
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_accepts_the_arguments_of_transformers(dropout, draw):
    ours = ALL_ATTENTION_FUNCTIONS[register_attention()]
    theirs = ALL_ATTENTION_FUNCTIONS["sdpa"]
    module = torch.nn.Identity()
    module.is_causal = False
    query, key, value = draw(3, 2, 4, 7, 8)
    mask = torch.ones(7, 7, dtype=torch.bool).tril()
    outputs = []
    for attend in (ours, theirs):
        torch.manual_seed(0)  # for dropout
        output, _ = attend(module, query, key, value, mask, scaling=0.3, dropout=dropout)
        outputs.append(output)
    assert torch.equal(*outputs)
