"""Fixtures for launching processes, repeating tests and recording full counts.

By default every test repeats a few times. ``make test-reliability`` sets ``PKS4_FULL=1``: tests
then repeat as often as the project promises, and write their outcomes to
``benchmarks/results/reliability.json``.
"""

import json
import os
import sys

import pytest

from tests.reliability.launch import ROOT, Launcher

RESULTS = ROOT / "benchmarks" / "results" / "reliability.json"
FULL = os.environ.get("PKS4_FULL") == "1"


@pytest.fixture(scope="session")
def _launcher():
    launcher = Launcher()
    yield launcher
    launcher.close()


@pytest.fixture
def launcher(_launcher, tmp_path):
    """Starts commands, and ends after a test those still running."""
    _launcher.folder = tmp_path
    yield _launcher
    _launcher.clear()


@pytest.fixture
def times():
    """Return the number of repetitions: ``times(4, full=25)``."""
    return lambda few, *, full: full if FULL else few


@pytest.fixture
def record(request):
    """Record an outcome of a full run: ``record("torn checkpoints", kills=40, torn=0)``."""

    def write(name, **numbers):
        if not FULL:
            return
        sys.path.insert(0, str(ROOT / "benchmarks"))
        from machine import provenance

        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        made = {**provenance(), "command": "make test-reliability"}
        results[name] = {**numbers, "test": request.node.nodeid, "made": made}
        RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=2) + "\n")

    return write
