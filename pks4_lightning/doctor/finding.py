"""What a check found."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["Check", "Finding", "run_checks"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report."""

    check: str
    said: str
    """What is there."""
    fix: str | None = None
    """What to do about it; ``None`` where nothing is wrong."""

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return self.fix is None


Check = Callable[[], Finding]


def run_checks(checks: Iterable[tuple[str, Check]]) -> list[Finding]:
    """Run checks one after the other. One that breaks is a finding too.

    Args:
        checks: Names and checks.
    """
    findings = []
    for name, check in checks:
        try:
            findings.append(check())
        except Exception as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            fix = "what is named here must be mended first; an issue may quote this line"
            findings.append(Finding(check=name, said=f"{type(error).__name__}: {first}", fix=fix))
    return findings
