"""Dependencies: no version known to be vulnerable, and only locked files."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = ("requirements.lock", "requirements-build.lock", "requirements-triton.lock")


def requirements(*, extra=None):
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    return {each.name.lower(): each for each in map(Requirement, lines)}


def locked(name):
    """Return the entries of a lock file: the requirement and the hashes of its files."""
    entries = re.split(r"\n(?=\S)", (ROOT / name).read_text().strip())
    for entry in entries:
        first, *rest = entry.split(" \\\n")
        yield Requirement(first), [line.strip() for line in rest]


def imported():
    """Return the distributions that the package imports, each with one of the importing files."""
    distributions = packages_distributions() | {"triton": ["torch"]}  # bundled with torch
    found = {}
    for path in (ROOT / "pks4_lightning").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [str(node.module)]
            for name in {module.partition(".")[0] for module in modules}:
                if name not in {*sys.stdlib_module_names, "pks4_lightning"}:
                    (distribution, *_) = distributions.get(name, [name])
                    found[canonicalize_name(distribution)] = path.name
    return found


def test_imported_and_declared_packages_are_the_same():
    declared = {canonicalize_name(name) for name in requirements()}
    optional = {"gradio", "mamba-ssm", "onnxruntime", "shtab"}
    for name in optional:
        extras = PROJECT["optional-dependencies"]
        assert any(name in requirements(extra=extra) for extra in extras)
    optional |= {"trackio"}  # optional, like the packages of other loggers
    files = imported()
    assert {name: files[name] for name in files.keys() - declared - optional} == {}
    assert declared - files.keys() == set()


@pytest.mark.parametrize(
    ("package", "version"),
    [
        ("lightning", "2.6.2"),  # malicious: GHSA-w37p-236h-pfx3
        ("lightning", "2.6.3"),  # the same
        ("lightning", "2.6.5"),  # checkpoints run code: GHSA-qqmf-gpg7-g8gw
        ("torch", "2.5.1"),  # CVE-2025-32434
        ("torch", "2.9.1"),  # CVE-2026-24747
        ("av", "17.1.0"),  # FFmpeg of CVE-2026-8461
        ("av", "18.0.0"),  # segmentation fault on a truncated file
        ("jsonargparse", "4.52.0"),  # before the allowlist was verified
        ("pyyaml", "5.3.1"),  # CVE-2020-14343
        ("transformers", "4.52.0"),  # CVE-2025-6638 and others
    ],
)
def test_harmful_versions_are_excluded(package, version):
    assert version not in requirements()[package].specifier


def test_the_lock_holds_what_the_project_asks_for():
    versions = {}
    for requirement, _ in locked("requirements.lock"):
        versions.setdefault(requirement.name.lower(), []).append(requirement.specifier)
    asked = {**requirements(), **requirements(extra="dev")}
    del asked["torch"]  # hashes differ between its builds; constraints.txt pins the version
    for name, requirement in asked.items():
        pins = [next(iter(pin)).version for pin in versions.get(name, [])]
        assert pins, f"{name} is not locked: run make lock"
        assert all(pin in requirement.specifier for pin in pins), (name, pins)


def steps_of_setup(option="CPU="):
    dry = ["make", "--dry-run", "--always-make", "setup", option]
    return subprocess.run(
        dry, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_a_set_up_for_cpus_asks_for_torchs_cpu_builds_and_another_does_not():
    lines = {}
    for option in ("CPU=1", "CPU="):
        (lines[option],) = [line for line in steps_of_setup(option) if "-e" in line.split()]
    assert "--extra-index-url https://download.pytorch.org/whl/cpu -c" in lines["CPU=1"]
    assert "index-url" not in lines["CPU="]


@pytest.mark.parametrize("name", LOCKS)
def test_everything_locked_has_one_version_and_hashes(name):
    entries = list(locked(name))
    assert entries
    for requirement, hashes in entries:
        assert [pin.operator for pin in requirement.specifier] == ["=="], requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes)


def test_every_lock_file_is_installed_with_its_hashes_checked():
    for name in LOCKS:
        (line,) = [line for line in steps_of_setup() if f"-r {name}" in line]
        assert "--require-hashes" in line
