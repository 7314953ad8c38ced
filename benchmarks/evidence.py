"""PKS⁴'s parts on real images: `python benchmarks/evidence.py --data EgoGestAR/testvideo`.

`--task motion` uses the motion bench, a folder written by `pks4 demo-data --sources`. Takes hours
on one core. An interrupted run continues where it stopped; `--show` records what is finished.
`benchmarks/answers.py` joins the recorded predictions of several runs.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from machine import arguments, write_rows

if __name__ == "__main__":
    parser = arguments("Train and test the arms of a bench of real images.")
    parser.add_argument("--data", required=True, help="folder of the clips and their table")
    parser.add_argument("--out", type=Path, default=Path("runs/evidence"), help="results folder")
    options, others = parser.parse_known_args()
    command = ["evidence", "--data.root", options.data, "--out", str(options.out), *others]
    subprocess.run([sys.executable, "-m", "pks4_lightning", *command], check=True)
    write_rows(options.json, json.loads((options.out / "comparison.json").read_text()))
    if options.json is not None:
        copies = {
            "results.csv": ".csv",
            "answers.csv": "_answers.csv",
            "rates/results.csv": "_rates.csv",
            "comparison.png": ".png",
            "amplitudes.png": "_amplitudes.png",
        }
        for name, ending in copies.items():
            if (options.out / name).is_file():
                shutil.copyfile(options.out / name, f"{options.json.with_suffix('')}{ending}")
