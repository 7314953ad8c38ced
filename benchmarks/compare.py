"""PKS4 and the methods that it is compared with, at demo scale: `python benchmarks/compare.py`.

Eight methods, an hour on two idle cores for three seeds with `--jobs 2`.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from machine import arguments, write_rows

from pks4_lightning.experiments.results import read_results, write_results

OUT = Path("runs/compare")


def main():
    parser = arguments("Train and test PKS4 and the methods that it is compared with.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side")
    options = parser.parse_args()
    command = ("compare", "--seeds", *map(str, options.seeds), "--jobs", str(options.jobs))
    subprocess.run([sys.executable, "-m", "pks4_lightning", *command], check=True)
    if options.json is None:
        return
    write_rows(options.json, json.loads((OUT / "comparison.json").read_text()))
    finished = [each for each in read_results(OUT / "results.csv") if each.seed in options.seeds]
    write_results(options.json.with_suffix(".csv"), finished)
    shutil.copyfile(OUT / "comparison.png", options.json.with_suffix(".png"))


if __name__ == "__main__":
    main()
