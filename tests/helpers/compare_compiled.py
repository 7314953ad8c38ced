"""Compare compiled classifiers with eager ones.

`compare_compiled.py BACKEND TOWER...`; settings follow a tower: `"clip with scanner=gru"`.
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from tests.helpers.towers import CASES


def compare(backend, case, **settings):
    # DINOv3 rescales positions randomly in every pass, which cannot be compared
    drawn = {"pos_embed_rescale": None} if case.fields["model_type"] == "dinov3_vit" else {}
    own = {
        "class_route": "token_t1d" if case.has_class_token else "tsm",
        "insert_after": 1,
        "window_size": 3,
        "d_prior": 4,
        "d_state": 4,
    }
    config = PKS4Config(
        num_classes=5,
        pretrained=False,
        backbone_config={**case.fields, **drawn},
        **{**own, **settings},
    )
    torch.manual_seed(0)
    video = torch.randn(2, 3, 3, 32, 32)
    eager = build_classifier(config)
    if eager.pks4.scanner is not None:
        torch.nn.init.normal_(eager.pks4.scanner.out_proj.weight, std=0.1)
    compiled = build_classifier(config)
    compiled.load_state_dict(eager.state_dict())
    compiled.compile(backend=backend, fullgraph=True)
    logits = [classifier(video) for classifier in (eager, compiled)]
    torch.testing.assert_close(logits[1], logits[0])
    for each in logits:
        each.square().sum().backward()
    for name, parameter in compiled.named_parameters():
        if not parameter.requires_grad:
            continue
        expected = eager.get_parameter(name).grad
        # a constant added to every key changes no attention weight
        assert expected.any() or "k_proj.bias" in name, name
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-5)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for described in sys.argv[2:]:
        name, *settings = described.split(" with ")
        values = dict(each.split("=") for each in settings)
        numbers = {key: int(value) for key, value in values.items() if value.isdigit()}
        compare(sys.argv[1], CASES[name], **values | numbers)
        torch._dynamo.reset()
