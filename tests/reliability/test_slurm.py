"""``scripts/slurm.sh`` under a simulated SLURM: signals, requeueing and cancellation."""

import json
import os
import subprocess
import sys

import pytest

from pks4_lightning.training.checkpoints.reading import read_checkpoint
from tests.conftest import ROOT

SBATCH = f"""#!{sys.executable}
import json, os, re, signal, subprocess, sys, time
from pathlib import Path
here, script, arguments = Path(__file__).parent, sys.argv[1], sys.argv[2:]
options = dict(re.findall(r"^#SBATCH --([a-z-]+)=?(\\S*)", Path(script).read_text(), re.M))
shell, _, rest = options["signal"].partition(":")
runs = []
while not runs or ((here / "requeued").exists() and len(runs) < 5):
    (here / "requeued").unlink(missing_ok=True)
    job = subprocess.Popen(["bash", script, *arguments], env=dict(os.environ, SLURM_JOB_ID="7"))
    saved = Path(os.environ["SAVED"])
    while not runs and job.poll() is None and not saved.exists():
        time.sleep(0.02)
    if not runs and os.environ["WARN"] == "shell":  # its time is almost out
        assert (shell, rest.split("@")[0]) == ("B", "USR1")
        job.send_signal(signal.SIGUSR1)
    elif not runs and os.environ["WARN"] == "step":  # scancel
        os.kill(int((here / "step").read_text()), signal.SIGTERM)
    runs.append(job.wait())
print(json.dumps(runs))
"""
SRUN = """#!/usr/bin/env bash
echo $$ > "$(dirname "$0")/step"
exec "$@"
"""
SCONTROL = """#!/usr/bin/env bash
[[ "$*" == "requeue 7" ]] && touch "$(dirname "$0")/requeued"
"""
PKS4 = f"""#!/usr/bin/env bash
exec {sys.executable} -m pks4_lightning "$@"
"""


pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def sbatch(tmp_path, tiny_args):
    """Submit the script; return the exit status of each of its runs, and their output."""
    programs = {"sbatch": SBATCH, "srun": SRUN, "scontrol": SCONTROL, "pks4": PKS4}
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)

    def sbatch(*arguments, warn):
        path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        saved = tmp_path / "run" / "checkpoints" / "last.ckpt"
        done = subprocess.run(
            ["sbatch", str(ROOT / "scripts" / "slurm.sh"), *tiny_args, *arguments,
             f"--trainer.default_root_dir={tmp_path / 'run'}"],
            env={**os.environ, "PATH": path, "WARN": warn, "SAVED": str(saved),
                 "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=800, check=True,
        )  # fmt: skip
        *_, last = done.stdout.splitlines()
        return json.loads(last), done.stdout + done.stderr

    return sbatch


def test_a_job_whose_time_runs_out_is_queued_again_and_ends(sbatch, tmp_path):
    statuses, said = sbatch("--trainer.max_epochs=5", warn="shell")
    assert statuses == [143, 0]
    assert "Stopped by SIGUSR1 at step " in said
    assert f"Resuming from {tmp_path / 'run' / 'checkpoints' / 'last.ckpt'}, after " in said
    assert read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] == 10


def test_a_cancelled_job_stays_cancelled(sbatch):
    statuses, _ = sbatch("--trainer.max_epochs=500", warn="step")
    assert statuses == [143]


def test_a_failed_job_is_not_queued_again(sbatch):
    statuses, said = sbatch("--data.batch_size=0", warn="none")
    assert len(statuses) == 1
    assert statuses[0] in (1, 2)
    assert "pks4: error: " in said
