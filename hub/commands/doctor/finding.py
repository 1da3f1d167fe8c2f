"""What a check of `plancast doctor` finds, and how checks run: in parallel, each with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from broadcasters.errors import PlancastError

__all__ = ["Check", "Finding", "Section", "Status", "clock_finding", "examine", "worst"]

Status = Literal["ok", "skipped", "warning", "failed"]
GRAVITY: Final[tuple[Status, ...]] = ("ok", "skipped", "warning", "failed")
DEADLINE_S: Final = 10.0
NOTICEABLE_S: Final = 2.0
"""A difference of clocks that is a warning."""
WRONG_S: Final = 60.0
"""One that is a failure."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check."""

    name: str
    status: Status
    found: str
    """What is so, or what is wrong."""
    fix: str = ""
    """The line that mends it: a command, a setting, or what to do."""


@dataclass(frozen=True, slots=True)
class Check:
    """A running check. It may have several findings."""

    name: str
    findings: Awaitable[Sequence[Finding]]
    deadline_s: float = DEADLINE_S


@dataclass(frozen=True, slots=True)
class Section:
    """The checks of one thing."""

    title: str
    subject: str
    checks: Sequence[Check]


async def examine(sections: Sequence[Section]) -> list[tuple[Section, list[Finding]]]:
    """Run all checks at the same time; the findings are in the order of the checks."""
    results = await asyncio.gather(*(_run(check) for section in sections for check in section.checks))
    remaining = iter(results)
    return [(section, [finding for _ in section.checks for finding in next(remaining)]) for section in sections]


async def _run(check: Check) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(check.deadline_s):
            return await check.findings
    except TimeoutError:
        return [Finding(check.name, "failed", f"no result within {check.deadline_s:g} s")]
    except PlancastError as error:
        return [Finding(check.name, "failed", str(error))]
    except Exception as error:  # the other checks are still of use
        return [Finding(check.name, "failed", f"the check failed: {type(error).__name__}: {error}")]


def worst(findings: Sequence[Finding]) -> Finding:
    """The gravest of several findings; the first one if they are equally grave."""
    return max(findings, key=lambda finding: GRAVITY.index(finding.status))


def clock_finding(ahead_s: float, uncertain_s: float, server: str) -> Finding:
    """The finding for a server's clock that is so many seconds ahead of this machine's, give or take `uncertain_s`."""
    least = max(0.0, abs(ahead_s) - uncertain_s)
    if least < NOTICEABLE_S:
        most = abs(ahead_s) + uncertain_s
        return Finding(
            "clock", "ok", f"{server}'s agrees within {f'{most:.0f} s' if most > 1 else f'{most * 1000:.0f} ms'}"
        )
    side = "ahead of" if ahead_s > 0 else "behind"
    found = f"{server}'s is {least:,.0f} s {side} this machine's; let both follow a time server"
    status: Status = "failed" if least >= WRONG_S else "warning"
    return Finding("clock", status, found, "timedatectl set-ntp true")
