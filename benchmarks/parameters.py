"""The paper's six parameter counts beside ours: `python benchmarks/parameters.py`."""

from machine import arguments, write_rows
from rich.console import Console
from rich.table import Table

from pks4_lightning.cost.parameters import count_parameters, describe
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.openai_towers import OPENAI_TOWERS

B16 = OPENAI_TOWERS["openai/clip-vit-base-patch16"]
L14 = OPENAI_TOWERS["openai/clip-vit-large-patch14"]
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
    return sum(count_parameters(describe(config)).values()) / 1e6


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
