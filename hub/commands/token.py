"""plancast token"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Iterable
from typing import Final

from broadcasters.errors import PlancastError

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Make a token that says who somebody is and what they may do, signed with the
shared secret that the hub has as well. A pattern is a plan's id, or the
beginning of one followed by *; the verbs are read, input, signal, publish and
start. Only the token is printed."""
EXAMPLES = """\
plancast token ada --plan '*=read,input'
plancast token reporters --plan 'team-a.*=publish,start' --plan 'demo=read' --for 30d
PLANCAST_AUTH_SECRET=@/etc/plancast/secret plancast token ada --plan 'plan-1=read' --for 15m
curl -H "Authorization: Bearer $(plancast token ada --plan '*=read')" http://127.0.0.1:8000/api/plans"""

UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
MOST_DAYS: Final = 3650


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subject", metavar="SUBJECT", help="whose token it is: what answers are signed with")
    parser.add_argument(
        "--plan",
        metavar="PATTERN=VERBS",
        action="append",
        required=True,
        type=_grant,
        help="what it gives the right to, the verbs by comma; may be given again",
    )
    parser.add_argument(
        "--for",
        dest="seconds",
        metavar="TIME",
        type=_seconds,
        default="1h",
        help="how long it is good: 90s, 15m, 1h, 7d (1h)",
    )
    parser.add_argument("--auth-secret", metavar="…", help="the shared secret; @/a/file is read (PLANCAST_AUTH_SECRET)")
    parser.add_argument("--auth-audience", metavar="…", help="its `aud`, if the hub wants one (PLANCAST_AUTH_AUDIENCE)")
    parser.add_argument("--auth-issuer", metavar="…", help="its `iss`, if the hub wants one (PLANCAST_AUTH_ISSUER)")
    parser.set_defaults(misused=parser.error)


def run(args: argparse.Namespace) -> int:
    try:
        from hub.access.auth import TokenInvalid, mint
        from hub.access.principal import InvalidGrants
        from hub.config.settings import load
    except ModuleNotFoundError as missing:
        raise PlancastError(f"tokens need more than agents do ({missing.name}): pip install 'plancast[hub]'") from None
    settings = load(os.environ, args)
    try:
        print(mint(settings, args.subject, _together(args.plan), args.seconds, time.time()))
    except (InvalidGrants, TokenInvalid) as error:
        args.misused(str(error))
    return 0


def _together(grants: Iterable[tuple[str, list[str]]]) -> dict[str, list[str]]:
    plans: dict[str, list[str]] = {}
    for pattern, verbs in grants:
        plans.setdefault(pattern, []).extend(verbs)
    return plans


def _grant(text: str) -> tuple[str, list[str]]:
    pattern, equals, verbs = text.rpartition("=")
    named = [verb.strip() for verb in verbs.split(",") if verb.strip()]
    if not equals or not named:
        raise argparse.ArgumentTypeError(f"{text!r:.60} is not PATTERN=VERBS, such as 'team-a.*=read,input'")
    return pattern, named


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    seconds = int(match[1]) * UNITS[match[2]] if match else 0
    if not 0 < seconds <= MOST_DAYS * UNITS["d"]:
        raise argparse.ArgumentTypeError(
            f"{text!r:.40} is not a time such as 90s, 15m, 1h or 7d ({MOST_DAYS} days at most)"
        )
    return seconds
