"""Tables 5 to 9 at demo scale, three seeds: `python benchmarks/ablations.py` (within two hours)."""

import shutil
import subprocess
import sys
from pathlib import Path

from machine import arguments, write_rows

from pks4_lightning.experiments.results import read_results, summarise

ROOT = Path(__file__).resolve().parent.parent
TABLES = ("5", "6", "7", "8", "9")
NUMBERS = {"num_train": 1000, "num_val": 120, "num_test": 480}


def main() -> None:
    parser = arguments("Train and test the rows of the ablations' tables on the harder motion set.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/ablations"), help="below the project"
    )
    options = parser.parse_args()
    data = options.out / "data"
    numbers = [part for name, value in NUMBERS.items() for part in (f"--{name}", str(value))]
    pks4("demo-data", "--hard", "--out", str(data), *numbers)
    pks4(
        *("ablate", "--config", "configs/demo/ablation.yaml", "--data.root", str(data)),
        *("--table", *TABLES, "--out", str(options.out)),
        *("--seeds", str(options.seeds), "--jobs", str(options.jobs)),
    )
    results = ROOT / options.out / "results.csv"
    write_rows(options.json, summarise(read_results(results)))
    if options.json is not None:
        shutil.copyfile(results, options.json.with_suffix(".csv"))


def pks4(*command: str) -> None:
    subprocess.run([sys.executable, "-m", "pks4_lightning", *command], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
