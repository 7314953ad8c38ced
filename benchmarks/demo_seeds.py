"""The demo's claim over three seeds: `python benchmarks/demo_seeds.py` (about 6 minutes)."""

import json
import subprocess
import sys
from pathlib import Path

from machine import arguments, write_rows

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = arguments("Train and test the demo's two models over several seeds.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "demo")
    options = parser.parse_args()
    command = [sys.executable, "-m", "pks4_lightning", "demo", "--out", str(options.out)]
    subprocess.run([*command, "--seeds", *map(str, options.seeds)], cwd=ROOT, check=True)
    write_rows(options.json, json.loads((options.out / "results.json").read_text()))


if __name__ == "__main__":
    main()
