"""The version is stated in four places that must agree."""

import re
import tomllib

import yaml

import pks4_lightning
from tests.conftest import ROOT


def test_the_version_is_the_same_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    headings = re.findall(
        r"^## \[(\d\S*)\] - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert pks4_lightning.__version__ == version
    assert (citation["version"], str(citation["date-released"])) == headings[0]
    assert headings[0][0] == version
