"""Shell commands in the documents."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

__all__ = ["Command", "commands_of", "documents"]


@dataclass(frozen=True)
class Command:
    """One command of a code block, without the backslashes of continued lines."""

    page: str
    line: str
    """The command as written, with its comment."""
    introduction: str
    """The line of text before the code block."""

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that are set before the command."""
        return dict(re.findall(r"(\w+)=(\S+) ", self.line[: len(self.line) - len(self.words)]))

    @property
    def words(self) -> str:
        """The command without variables that are set before it."""
        return re.sub(r"^(\w+=\S+ )+", "", self.line)

    @property
    def needs(self) -> str:
        """What the document says that it needs and a test does not have, such as a network."""
        said = f"{self.line.partition('  #')[2]} {self.introduction}"
        found = re.search(r"needs? (a |the )?(network|GPU|Docker|browser|data)", said)
        return found[2] if found else ""


def documents() -> list[Path]:
    """Return all documents with commands for users."""
    names = ["README.md", "REPRODUCTION.md", "CONTRIBUTING.md", "configs/README.md"]
    return [*(ROOT / name for name in names), *sorted((ROOT / "docs").glob("*.md"))]


def commands_of(document: Path) -> list[Command]:
    """Return the shell commands of a document, in order.

    Args:
        document: A Markdown file. In a code block without a language, or with ``bash``, every line
            is a command; files and folders are shown in blocks that name another language.
    """
    page = document.relative_to(ROOT).as_posix()
    found = re.finditer(
        r"([^\n]*)\n+```([^\n]*)\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE
    )
    return [
        Command(page, line, block[1])
        for block in found
        if block[2] in ("", "bash")
        for line in block[3].replace("\\\n", " ").splitlines()
        if line.strip()
    ]
