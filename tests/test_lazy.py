"""The public names of packages: all there, known to type checkers, and imported late."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ["pks4_lightning.ops"]


@pytest.mark.parametrize("name", PACKAGES)
def test_what_a_package_exports_is_there_and_type_checkers_see_the_same(name):
    package = importlib.import_module(name)
    for public in package.__all__:
        assert getattr(package, public) is not None
    assert set(package.__all__) <= set(dir(package))
    tree = ast.parse(Path(package.__file__).read_text())
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    aliases = [alias for line in checked.body for alias in line.names]
    assert [alias.name for alias in aliases] == [alias.asname for alias in aliases]
    assert sorted(alias.name for alias in aliases) == package.__all__
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_importing_packages_loads_neither_torch_nor_lightning():
    script = (
        f"import sys, {', '.join(PACKAGES)}; print({{'torch', 'lightning'}} & {{*sys.modules}})"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"


def test_importing_an_operator_loads_no_kernels():
    kernels = "[name for name in sys.modules if name.startswith('pks4') and 'triton' in name]"
    script = f"import sys, pks4_lightning.ops.scan.selective_scan; print({kernels})"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
