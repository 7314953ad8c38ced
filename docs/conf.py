"""Sphinx configuration of the documentation site (`make docs`; warnings are errors)."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from pks4_lightning import __version__

ROOT = Path(__file__).resolve().parents[1]

project = "pks4_lightning"
author = "the pks4_lightning maintainers"
release = version = __version__
html_title = f"pks4_lightning {__version__}"
highlight_language = "none"  # most blocks are commands; Python blocks are marked
html_theme = "furo"
html_theme_options = {"source_edit_link": "", "top_of_page_buttons": []}
html_show_sphinx = False
html_copy_source = False

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
napoleon_custom_sections = ["Dimensions", "References"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

# execute notebooks in place, and show their output
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

PAGES = {
    "README.md": "index",
    "REPRODUCTION.md": "reproduction",
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
    "configs/README.md": "configurations",
    "benchmarks/results/README.md": "results",
    "pks4_lightning/demo/tiny_clip/weights/README.md": "tiny_tower",
}
"""Files of the repository that are also pages of the site."""


def _link(target: str, place: PurePosixPath) -> str:
    """Convert a link in a file of the repository to the site's link."""
    path, mark, anchor = target.partition("#")
    if not path or "://" in path:
        return target
    found = (ROOT / place.parent / path).resolve().relative_to(ROOT)
    if str(found) in PAGES:
        path = f"{PAGES[str(found)]}.md"
    elif found.parts[0] == "docs":
        path = str(found.relative_to("docs"))
    elif found.parts[0] == "notebooks":
        path = str(found)
    else:
        path = f"../{found}"
    return f"{path}{mark}{anchor}"


def _read(_app: Any, name: str, source: list[str]) -> None:
    """Replace a stub by the repository's file, and convert its links."""
    place = PurePosixPath("docs") / f"{name}.md"
    for path, page in PAGES.items():
        if page == name:
            place = PurePosixPath(path)
            source[0] = f"{(ROOT / path).read_text()}\n\n{source[0]}"
    source[0] = re.sub(
        r"(\]\()([^)\s]+)(\))",
        lambda found: f"{found[1]}{_link(found[2], place)}{found[3]}",
        source[0],
    )


def _find(app: Any, env: Any, node: Any, shown: Any) -> Any:
    """Resolve a reference to a name's defining module to the package that exports it."""
    *modules, name = node.get("reftarget", "").split(".")
    python = env.get_domain("py")
    for length in range(len(modules) - 1, 0, -1):
        offered = ".".join([*modules[:length], name])
        if offered in python.objects:
            kind = python.objects[offered].objtype
            return python.resolve_xref(env, node["refdoc"], app.builder, kind, offered, node, shown)
    return None


def setup(app: Any) -> None:
    """Register the event handlers with Sphinx."""
    app.connect("source-read", _read)
    app.connect("missing-reference", _find)
