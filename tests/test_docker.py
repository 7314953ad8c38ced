"""Checks of the Dockerfile that do not need Docker."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

from tests.conftest import ROOT
from tests.test_documented_commands import parse

LINES = (ROOT / "Dockerfile").read_text().splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def values_of(instruction):
    return [line.partition(" ")[2] for line in LINES if line.startswith(f"{instruction} ")]


def copied():
    return [source for value in values_of("COPY") for source in value.split()[:-1]]


def test_copied_files_exist_and_reach_the_builder():
    *ignored, pycache = (ROOT / ".dockerignore").read_text().split()
    assert ignored == ["*", *sorted(f"!{name}" for name in copied())]
    assert pycache == "**/__pycache__"
    assert [name for name in copied() if not (ROOT / name).exists()] == []


def test_it_has_all_that_a_wheel_is_made_of():
    targets = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    project = PROJECT["project"]
    needed = {*targets["packages"], *targets["force-include"], project["readme"]}
    assert needed | set(project["license-files"]) | {"pyproject.toml"} <= set(copied())


def test_it_starts_our_command():
    (entry_point,) = values_of("ENTRYPOINT")
    assert set(json.loads(entry_point)) <= set(PROJECT["project"]["scripts"])


def documented():
    text = (ROOT / "docs" / "docker.md").read_text().replace("\\\n", " ")
    return re.findall(r"^docker run .*? pks4(?::cuda)? (.+)$", text, re.MULTILINE)


def test_documented_commands_are_ours():
    assert len(documented()) == 3
    for command in documented():
        parse(f"docs/docker.md: pks4 {command}")
    arguments = {value.partition("=")[0] for value in values_of("ARG")}
    text = (ROOT / "docs" / "docker.md").read_text()
    assert set(re.findall(r"--build-arg (\w+)=", text)) == arguments


@pytest.mark.slow  # downloads torch
@pytest.mark.timeout(3600)
def test_its_installation_gives_a_command_that_runs(tmp_path):
    home = tmp_path / "opt"
    home.mkdir()
    for name in copied():
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__")
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, home / name, **({"ignore": ignore} if source.is_dir() else {}))
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    bin_folder = tmp_path / "env" / "bin"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= dict(value.split("=", 1) for value in values_of("ARG"))
    environment["PATH"] = f"{bin_folder}:{environment['PATH']}"
    steps = [line for line in values_of("RUN") if line.startswith(("sed ", "pip "))]
    assert len(steps) == 2
    for step in steps:
        subprocess.run(["sh", "-ec", step], cwd=home, env=environment, check=True)
    shown = subprocess.run(
        [str(bin_folder / "pks4"), "configs"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "ssv2" in shown.stdout
