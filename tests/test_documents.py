"""References in the documents exist: tests, files and links."""

import re
import tomllib

import pytest

from tests.conftest import ROOT

REPRODUCTION = (ROOT / "REPRODUCTION.md").read_text()
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
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


PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "REPRODUCTION", "CONTRIBUTING", "CHANGELOG")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("configs", "benchmarks/results")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if place == ROOT / "docs" / "index.md":  # the README is the site's first page
            place = ROOT / "README.md"
        assert place.exists(), f"{target} is not there"
        if anchor:
            assert anchor in anchors(place), f"{target}: no such heading"


def anchors(page):
    """Return the anchors that Markdown renderers generate for a document's headings."""
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def test_the_layers_are_described_in_the_order_of_the_import_contract():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = (c for c in project["tool"]["importlinter"]["contracts"] if "layers" in c)
    layers = [layer.replace("pks4_lightning.", "").split(" | ") for layer in contract["layers"]]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", ARCHITECTURE, re.MULTILINE)
    assert [re.findall(r"\w+", row) for row in rows] == layers


def test_the_readme_is_read_in_a_minute():
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    prose = re.sub(r"\]\([^)]*\)|`[^`]*`", "", prose)
    assert README.count("\n") <= 120
    assert len(re.findall(r"(?<![\w.])\d[\d,.]*", prose)) <= 40
