"""Tables 5 to 9 at demo scale, three seeds: `python benchmarks/ablations.py` (up to two hours)."""

from pathlib import Path

from machine import arguments, record_experiment

if __name__ == "__main__":
    options = arguments("Train and test the rows of the paper's ablations.").parse_args()
    command = ("ablate", "--seeds", "0", "1", "2", "--jobs", "2")
    record_experiment(options.json, Path("runs/ablations/results.csv"), *command)
