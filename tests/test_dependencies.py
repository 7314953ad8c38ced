"""Dependencies: no version known to be vulnerable, and only locked files."""

import ast
import hashlib
import re
import subprocess
import sys
import tomllib
import zipfile
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


def test_a_set_up_for_cpus_asks_for_torchs_cpu_builds_and_another_does_not():
    lines = {}
    for option in ("CPU=1", "CPU="):
        dry = ["make", "--dry-run", "--always-make", "setup", option]
        shown = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        (lines[option],) = [line for line in shown.splitlines() if "-e" in line.split()]
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


def test_a_file_with_one_other_byte_is_not_installed(tmp_path):
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "value = 1\n")
        archive.writestr(
            "tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
        )
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (tmp_path / "tiny.lock").write_text(f"tiny==1.0 --hash=sha256:{digest}\n")
    command = [
        sys.executable, "-m", "pip", "--isolated", "install", "--quiet", "--no-index",
        "--disable-pip-version-check", "--find-links", str(tmp_path), "--require-hashes",
        "--no-deps", "-r", str(tmp_path / "tiny.lock"), "--target",
    ]  # fmt: skip
    subprocess.run([*command, str(tmp_path / "first")], check=True, timeout=120)
    assert (tmp_path / "first" / "tiny.py").is_file()

    content = bytearray(wheel.read_bytes())
    content[content.index(b"value = 1") + 8] ^= 1
    wheel.write_bytes(content)
    tampered = subprocess.run(
        [*command, str(tmp_path / "second")], capture_output=True, text=True, timeout=120
    )
    assert tampered.returncode != 0
    assert "DO NOT MATCH THE HASHES" in tampered.stderr
    assert not (tmp_path / "second").exists()
