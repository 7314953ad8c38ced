"""How far a new PKS⁴ module is from the identity: `benchmarks/prior_start.py --config egogestar …`.

Takes the settings of `pks4 fit`. On one batch of training clips, it compares what the module adds
to the patch tokens before the first step with these tokens, by their norms. The scan adds nothing
yet, so this is the priors alone.
"""

import torch
from machine import arguments, write_rows

from pks4_lightning.cli.settings import data_module, resolve
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.classifier import PKS4Classifier
from pks4_lightning.models.config import PKS4Config

if __name__ == "__main__":
    parser = arguments("Compare what a new module adds to the patch tokens with these tokens.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="of weights")
    options, others = parser.parse_known_args()
    settings = resolve([*others, "--data.token_cache", "null"])
    data = data_module(settings)
    data.setup("fit")
    video = data.to_model_input(next(iter(data.train_dataloader())))
    rows = []
    for start in ("default", "small", "zero"):
        config = PKS4Config(**settings["model"]["classifier"] | {"prior_init": start})
        ratios = []
        for seed in options.seeds:
            torch.manual_seed(seed)
            classifier = build_classifier(config).train()
            assert isinstance(classifier, PKS4Classifier)
            assert classifier.pks4 is not None
            classifier.pks4.prior_encoder.register_forward_hook(
                lambda _, args, y, ratios=ratios: ratios.append(
                    float((y - args[0]).norm() / args[0].norm())
                )
            )
            with torch.no_grad():
                classifier(video)
        rows.append({"prior_init": start, "lowest": min(ratios), "highest": max(ratios)})
        print(f"prior_init {start}: {min(ratios):.3f} to {max(ratios):.3f} of the tokens' norm")
    write_rows(options.json, rows)
