"""An installed wheel works as the README says, away from the source tree."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

pytest.importorskip("hatchling")


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """The folder of wheel and source archive."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def pks4(dist, tmp_path_factory):
    """Run a program in an environment with the wheel and this environment's other packages."""
    folder = tmp_path_factory.mktemp("wheel")
    python = [sys.executable, "-m"]
    (wheel,) = dist.glob("*.whl")
    home = folder / "env"
    venv.create(home, symlinks=True)
    (site,) = home.glob("lib/*/site-packages")
    (site / "heavy.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    install = ["pip", "--python", str(home), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*python, *install, str(wheel)], check=True, capture_output=True)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(program, *arguments):
        command = [str(home / "bin" / program), *arguments]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _files(folder):
    return {
        str(path.relative_to(ROOT))
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_package_and_the_configurations_alone(dist):
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    package = _files("pks4_lightning")
    assert names == package | {f"pks4_lightning/{name}" for name in _files("configs")}
    assert "pks4_lightning/py.typed" in package


def test_the_source_archive_holds_what_its_tests_need(dist):
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {member.name.partition("/")[2] for member in file.getmembers() if member.isfile()}
    for folder in ("pks4_lightning", "configs", "tests", "docs", "examples", "benchmarks"):
        built = {name for name in _files(folder) if "_build" not in Path(name).parts}
        assert built <= names
    assert names > {"Makefile", "requirements.lock", "constraints.txt", "CITATION.cff", "README.md"}
    left = {name.split("/")[0] for name in names} & {"runs", "build", "dist", ".venv", ".git"}
    assert not left


def test_the_wheel_is_the_package_in_use(pks4):
    code = "import pks4_lightning; print(pks4_lightning.PKS4Config, pks4_lightning.__file__)"
    name, _, path = pks4("python", "-c", code).strip().rpartition(" ")
    assert name == "<class 'pks4_lightning.models.config.PKS4Config'>"
    assert "site-packages" in Path(path).parts
    assert not Path(path).is_relative_to(ROOT)


def test_configurations_travel(pks4):
    settings = yaml.safe_load(pks4("pks4", "fit", "--config", "ssv2", "--print_config"))
    assert settings["model"]["classifier"]["num_classes"] == 174
    assert settings["data"]["format"] == "ssv2"
    listed = pks4("pks4", "configs").splitlines()
    names = {line.split()[0] for line in listed}
    places = {"": ROOT / "configs", "demo/": ROOT / "pks4_lightning" / "demo" / "configs"}
    shipped = {
        f"{room}{path.relative_to(folder).with_suffix('')}"
        for room, folder in places.items()
        for path in folder.rglob("*.yaml")
    }
    assert names == shipped > {"ssv2", "peers/aim_b16", "demo/pks4", "demo/overrides/causal"}


def test_the_demo_and_the_papers_tables_travel(pks4):
    assert pks4("pks4", "demo", "--help").startswith("usage: pks4 demo")
    code = (
        "from pks4_lightning.cli.settings import resolve\n"
        "from pks4_lightning.experiments.model_cost import num_blocks\n"
        "print(num_blocks(resolve(['--config=demo/ablation'])))"
    )
    assert pks4("python", "-c", code) == "4\n", "the tiny tower's folder is found as well"
    cells = json.loads(pks4("pks4", "cost", "--paper", "--table", "5", "--json"))
    assert {cell["table"] for cell in cells} == {5}
