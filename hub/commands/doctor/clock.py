"""The check of a server's clock."""

from __future__ import annotations

from typing import Final

from hub.commands.doctor.finding import Finding, Status

__all__ = ["clock_finding"]

NOTICEABLE_S: Final = 2.0
WRONG_S: Final = 60.0


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
