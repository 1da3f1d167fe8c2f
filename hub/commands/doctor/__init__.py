"""`plancast doctor`"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from platform import python_version
from typing import Final

from broadcasters.errors import LogMisconfigured
from broadcasters.log import default_url
from broadcasters.log.http.link import HubUrl
from hub.commands import log_argument
from hub.commands.doctor.finding import Check, Finding, Section, Status, examine
from hub.commands.doctor.hubs import checks_of_hub, is_hub
from hub.commands.doctor.logs import checks_of_log
from hub.commands.doctor.program import checks_of_program, settings_now
from hub.commands.output import print_json
from hub.commands.plan_access import hub_of
from hub.config.setting_types import without_password
from hub.config.settings import BadSetting
from hub.terminal import Look, clean
from hub.terminal.text import WrappedText
from hub.terminal.waiting import waiting_for

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Check what Plancast needs here: settings and extras, the log, and a hub with the
proxy in front of it. Each problem is shown with the line that mends it. Nothing
is changed. The exit code is 1 if a check fails."""
EXAMPLES = """\
plancast doctor
plancast doctor https://plans.example.org --idle
plancast doctor --log redis://cache --json"""

MARKS: Final[dict[Status, tuple[str, str]]] = {
    "ok": ("✓", "good"),
    "skipped": ("-", "dim"),
    "warning": ("!", "ask"),
    "failed": ("✗", "bad"),
}
NAME: Final = 12
"""Columns for the name of a check."""
INDENT: Final = len("  ✓ ") + NAME + 1


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "hub",
        metavar="HUB",
        nargs="?",
        help="the hub's public address (default: --log or PLANCAST_LOG if that is a hub, or the hub on this machine)",
    )
    parser.add_argument(
        "--idle", action="store_true", help="also keep a quiet connection to the hub open, for half a minute"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per check")
    log_argument(parser)


def run(args: argparse.Namespace) -> int:
    examined = asyncio.run(_examine(args))
    if args.json:
        for section, findings in examined:
            for one in findings:
                facts = {"status": one.status, "found": one.found, "fix": one.fix or None}
                print_json({"check": f"{section.title}.{one.name}", "subject": section.subject, **facts})
    else:
        _FindingsReport(Look.of(sys.stdout)).write(examined)
    return 1 if any(one.status == "failed" for _, findings in examined for one in findings) else 0


async def _examine(args: argparse.Namespace) -> list[tuple[Section, list[Finding]]]:
    log = args.log or default_url()
    with waiting_for(
        "checking; this takes up to ten seconds" if not args.idle else "checking; this takes half a minute"
    ):
        program = Section("program", f"plancast {version('plancast')}, Python {python_version()}", checks_of_program())
        sections = [program, Section("log", without_password(log), _checks_of_log(log)), await _hub(args)]
        return await examine(sections)


def _checks_of_log(url: str) -> Sequence[Check]:
    try:
        return checks_of_log(url)
    except LogMisconfigured as error:
        return [Check("url", _settled(Finding("url", "failed", str(error), "export PLANCAST_LOG=…")))]


async def _hub(args: argparse.Namespace) -> Section:
    named = args.hub or (args.log if hub_of(args.log) else None)
    if (hub := hub_of(named)) is not None:
        return Section("hub", hub.base, checks_of_hub(hub, idle=args.idle))
    if named:
        finding = Finding(
            "address", "failed", "expected a hub's address, http://… or https://…", "plancast doctor --help"
        )
        return Section("hub", named, [Check("address", _settled(finding))])
    local = _local_address()
    if await is_hub(local):
        return Section("hub", local, checks_of_hub(HubUrl.parse(local), idle=args.idle))
    finding = Finding("reachable", "skipped", "no hub runs here; to check one elsewhere: plancast doctor https://…")
    return Section("hub", local, [Check("reachable", _settled(finding))])


def _local_address() -> str:
    try:
        port = settings_now().port
    except BadSetting:
        port = 0
    return f"http://127.0.0.1:{port or 8000}"


async def _settled(finding: Finding) -> Sequence[Finding]:
    return [finding]


class _FindingsReport:
    """Writes the findings for people."""

    def __init__(self, look: Look) -> None:
        self._look = look

    def write(self, examined: Sequence[tuple[Section, Sequence[Finding]]]) -> None:
        for section, findings in examined:
            sys.stdout.write(self._look.paint(f"{section.title:{INDENT}}", "bold"))
            self._text(section.subject, "")
            for one in findings:
                self._finding(one)
            print()
        print(self._summary([one for _, findings in examined for one in findings]), flush=True)

    def _finding(self, one: Finding) -> None:
        look = self._look
        mark, style = MARKS[one.status]
        sys.stdout.write(f"  {look.paint(look.plain(mark), style)} {one.name:{NAME}} ")
        self._text(one.found, "dim" if one.status == "skipped" else "")
        for number, line in enumerate(one.fix.splitlines()):  # not wrapped, so that it can be copied
            print(f"    {' ' if number else look.plain('→')} {look.paint(clean(line), 'bold')}")

    def _text(self, text: str, style: str) -> None:
        look = self._look
        sys.stdout.write(look.style(style))
        wrapped = WrappedText(sys.stdout.write, INDENT, INDENT, look.width)
        wrapped.feed(look.plain(clean(" ".join(text.split()))))
        wrapped.end()
        sys.stdout.write(f"{look.off if style else ''}\n")

    def _summary(self, findings: Sequence[Finding]) -> str:
        counts = Counter(one.status for one in findings)
        parts = [
            self._look.paint(f"{counts['failed']} failed", "bad") if counts["failed"] else "",
            self._look.paint(f"{counts['warning']} to look at", "ask") if counts["warning"] else "",
            f"{counts['ok']} good",
        ]
        return ", ".join(filter(None, parts))
