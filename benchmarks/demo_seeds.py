"""The demo's claim over three seeds: `python benchmarks/demo_seeds.py` (about 6 minutes)."""

from pathlib import Path

from machine import arguments, record_experiment

if __name__ == "__main__":
    options = arguments("Train and test the demo's two models over several seeds.").parse_args()
    command = ("demo", "--seeds", "0", "1", "2")
    record_experiment(options.json, Path("runs/demo/results.csv"), *command)
