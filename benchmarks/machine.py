"""Shared by all benchmarks: arguments, provenance of the numbers, result files."""

import argparse
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pks4_lightning.cores import num_cores

PACKAGES = ("torch", "lightning", "transformers", "torchmetrics", "av", "pytorchvideo", "pillow")
OPTIONAL_PACKAGES = ("triton", "mamba-ssm", "mambapy")


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with the option that all benchmarks share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the rows, with machine and versions")
    return parser


def provenance() -> dict[str, Any]:
    """Describe the machine, the versions, the commit and the command."""
    import torch

    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False)
    return {
        "date": date.today().isoformat(),
        "command": _command(),
        "commit": commit.stdout.strip() or "not a checkout",
        "processor": _processor(),
        "cores": num_cores(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES} | _optional_versions(),
    }


def clock_name(device: str) -> str:
    """Return the name of the function of ``time`` used for timings on a device.

    A single CPU thread is timed in processor time, which other jobs on the machine hardly affect;
    everything else in wall-clock time.
    """
    import torch

    alone = device == "cpu" and torch.get_num_threads() == 1
    return "process_time" if alone else "perf_counter"


def write_rows(path: Path | None, rows: Any) -> None:
    """Write the rows with their provenance if a file is given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**provenance(), "rows": rows}, indent=2) + "\n")


def record_experiment(path: Path | None, results: Path, *command: str) -> None:
    """Run a ``pks4`` experiment; write its means with their provenance, and copy its results file.

    Args:
        path: File for the means; the results file is copied beside it. ``None`` writes neither.
        results: The results.csv of the experiment.
        command: Arguments of ``pks4``.
    """
    from pks4_lightning.experiments.results import read_results, summarise

    subprocess.run([sys.executable, "-m", "pks4_lightning", *command], check=True)
    write_rows(path, summarise(read_results(results)))
    if path is not None:
        shutil.copyfile(results, path.with_suffix(".csv"))


def _command() -> str:
    """Return this command, with the settings of the C library's allocator, which affect times."""
    settings = [f"{name}={value}" for name, value in os.environ.items() if "MALLOC_" in name]
    return " ".join([*sorted(settings), shlex.join(["python", *sys.argv])])


def _optional_versions() -> dict[str, str]:
    versions = {}
    for package in OPTIONAL_PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


def _processor() -> str:
    """Return the processor's name from /proc/cpuinfo, else from Python's ``platform``."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
