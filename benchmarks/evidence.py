"""PKS⁴'s parts on real clips: `python benchmarks/evidence.py --data EgoGestAR/testvideo`.

Takes hours on one core. It goes on where it stopped; `--show` records what is finished by now.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from machine import arguments, write_rows

if __name__ == "__main__":
    parser = arguments("Train and test the arms of the bench on real clips, cross-validated.")
    parser.add_argument("--data", required=True, help="folder of the clips and index.csv")
    parser.add_argument("--out", type=Path, default=Path("runs/evidence"), help="of the trainings")
    options, others = parser.parse_known_args()
    command = ["evidence", "--data.root", options.data, "--out", str(options.out), *others]
    subprocess.run([sys.executable, "-m", "pks4_lightning", *command], check=True)
    write_rows(options.json, json.loads((options.out / "comparison.json").read_text()))
    if options.json is not None:
        for name, suffix in (("results.csv", ".csv"), ("comparison.png", ".png")):
            shutil.copyfile(options.out / name, options.json.with_suffix(suffix))
