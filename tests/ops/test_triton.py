import os
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT

pytest.importorskip("triton", reason="the triton package is not installed")


def run_alone(tmp_path, *arguments, **environment):
    """Run Python in a new process, because Triton interprets or compiles for a whole process."""
    inherited = {name: x for name, x in os.environ.items() if not name.startswith("TRITON_")}
    cache = {"TRITON_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**inherited, **cache, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return done.stdout


@pytest.mark.parity
@pytest.mark.parametrize(
    "part",
    [
        "-k equals",
        "-k not equals",
        pytest.param("-m slow", marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_cases_hold_on_a_gpu_or_in_the_interpreter(tmp_path, part):
    interpret = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    cases = [ROOT / "tests" / "helpers" / f"triton_{name}_cases.py" for name in ("scan", "conv")]
    out = run_alone(
        tmp_path, "-m", "pytest", "-q", "-rN", *cases, *part.split(maxsplit=1), **interpret
    )
    assert " passed" in out
    assert "skipped" not in out


def test_kernels_compile_for_a_gpu_without_one(tmp_path):
    run_alone(tmp_path, ROOT / "tests" / "helpers" / "compile_kernels.py")
