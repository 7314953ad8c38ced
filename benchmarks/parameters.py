"""The paper's six parameter counts beside ours: `python benchmarks/parameters.py`."""

import torch
from machine import arguments, write_rows
from rich.console import Console
from rich.table import Table

from pks4_lightning.models.classifier import build_classifier
from pks4_lightning.models.config import PKS4Config

B16 = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "projection_dim": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
}
L14 = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "projection_dim": 768,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
}
NO_PRIORS = {"use_variation": False, "use_correlation": False}
ROWS = [
    ("B/16 baseline", "Table 5", "86.34", B16, {"use_scanner": False, **NO_PRIORS}),
    ("B/16 + KS4", "Table 5", "90.11", B16, NO_PRIORS),
    ("B/16 + KS4 + variation", "Table 5", "90.86", B16, {"use_correlation": False}),
    ("B/16 PKS4", "Table 5", "91.70", B16, {}),
    ("B/16 PKS4, bidirectional", "Table 7", "95.5", B16, {"bidirectional": True}),
    ("L/14 PKS4", "Table 3", "312.8", L14, {"insert_after": 16}),
]


def millions(backbone: dict[str, int], options: dict[str, object]) -> float:
    """Count a classifier's parameters for 174 classes, without allocating them."""
    config = PKS4Config(num_classes=174, pretrained=False, backbone_config=backbone, **options)
    with torch.device("meta"):
        classifier = build_classifier(config)
    return sum(parameter.numel() for parameter in classifier.parameters()) / 1e6


def main() -> None:
    options = arguments("Parameter counts of the paper's tables, in millions.").parse_args()
    table = Table("model", "where", "paper", "ours")
    rows = []
    for model, where, paper, backbone, switches in ROWS:
        ours = millions(backbone, switches)
        table.add_row(model, where, paper, f"{ours:.4f}")
        rows.append({"model": model, "where": where, "paper": paper, "ours": round(ours, 6)})
    Console().print(table)
    write_rows(options.json, rows)


if __name__ == "__main__":
    main()
