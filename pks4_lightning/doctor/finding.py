"""The result of a check."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["Check", "Finding", "run_checks"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report."""

    check: str
    said: str
    """The result, in words."""
    fix: str | None = None
    """What to do about it; ``None`` if nothing is wrong."""

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return self.fix is None


Check = Callable[[], Finding]


def run_checks(checks: Iterable[tuple[str, Check]]) -> list[Finding]:
    """Run checks one after the other. A check that raises is reported as a finding too.

    Args:
        checks: Names and checks.
    """
    findings = []
    for name, check in checks:
        try:
            findings.append(check())
        except Exception as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            fix = "fix the error named here; if it remains, quote this line in an issue"
            findings.append(Finding(check=name, said=f"{type(error).__name__}: {first}", fix=fix))
    return findings
