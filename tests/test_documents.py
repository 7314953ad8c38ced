"""What the documents point at is there."""

import re

import pytest

from tests.conftest import ROOT

REPRODUCTION = (ROOT / "REPRODUCTION.md").read_text()
README = (ROOT / "README.md").read_text()
GUIDES = "".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))
POINTERS = sorted(
    set(re.findall(r"`(?:tests/)?((?:\w+/)*test_\w+\.py)(?:::([\w:]+))?`", REPRODUCTION))
)


@pytest.mark.parametrize(("file", "name"), POINTERS, ids=lambda part: part or "-")
def test_every_test_that_the_reproduction_names_exists(file, name):
    source = (ROOT / "tests" / file).read_text()
    for part in filter(None, name.split("::")):
        assert re.search(rf"(?:def|class) {part}\b", source), f"{file} has no {part}"


def test_the_reproduction_names_tests():
    assert len(POINTERS) > 30


@pytest.mark.parametrize(
    "path",
    sorted(
        set(
            re.findall(
                r"(?:configs|benchmarks|docs|notebooks)/[\w/]+\.\w+", README + REPRODUCTION + GUIDES
            )
        )
    ),
)
def test_every_file_that_the_documents_name_exists(path):
    assert (ROOT / path).is_file()
