"""Compare a compiled classifier with itself before: `python compare_compiled.py BACKEND`."""

import sys

import torch

from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config

BACKBONE = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "patch_size": 8,
    "image_size": 32,
    "projection_dim": 8,
}


def main(backend):
    torch.set_num_threads(1)
    config = PKS4Config(
        num_classes=5,
        pretrained=False,
        backbone_config=BACKBONE,
        insert_after=1,
        window_size=3,
        d_prior=4,
        d_state=4,
    )
    torch.manual_seed(0)
    video = torch.randn(2, 3, 3, 32, 32)
    eager = build_classifier(config)
    torch.nn.init.normal_(eager.pks4.scanner.out_proj.weight, std=0.1)
    compiled = build_classifier(config)
    compiled.load_state_dict(eager.state_dict())
    compiled.compile(backend=backend, fullgraph=True)
    logits = [classifier(video) for classifier in (eager, compiled)]
    torch.testing.assert_close(logits[1], logits[0])
    for each in logits:
        each.square().sum().backward()
    for name, parameter in compiled.named_parameters():
        expected = eager.get_parameter(name).grad
        assert expected.any(), name
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-5)


if __name__ == "__main__":
    main(sys.argv[1])
