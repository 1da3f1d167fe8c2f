"""`plancast token`"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from broadcasters.extras import extra
from hub.commands.output import print_json

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Make an access token: a JWT with a name and its rights, signed with the shared
secret of the hub. A pattern is a plan's id, or the beginning of one followed
by *; the verbs are read, input, signal, publish and start. Only the token is
printed, or with --json also what it contains."""
EXAMPLES = """\
plancast token ada --plan '*=read,input'
plancast token reporters --plan 'team-a.*=publish,start' --plan 'demo=read' --for 30d
PLANCAST_AUTH_SECRET=@/etc/plancast/secret plancast token ada --plan 'plan-1=read' --for 15m
curl -H "Authorization: Bearer $(plancast token ada --plan '*=read')" http://127.0.0.1:8000/api/plans"""

UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
MOST_DAYS: Final = 3650


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "subject", metavar="SUBJECT", help="the name (`sub`) that the token stands for; answers carry it"
    )
    parser.add_argument(
        "--plan",
        metavar="PATTERN=VERBS",
        action="append",
        required=True,
        type=_grant,
        help="plans and rights to them, verbs separated by commas; repeatable",
    )
    parser.add_argument(
        "--for",
        dest="seconds",
        metavar="TIME",
        type=_seconds,
        default="1h",
        help="lifetime, such as 90s, 15m, 1h or 7d (default: 1h)",
    )
    parser.add_argument(
        "--auth-secret", metavar="…", help="the shared secret, or @/path/to/file (default: PLANCAST_AUTH_SECRET)"
    )
    parser.add_argument(
        "--auth-audience", metavar="…", help="the `aud` the hub requires, if any (default: PLANCAST_AUTH_AUDIENCE)"
    )
    parser.add_argument(
        "--auth-issuer", metavar="…", help="the `iss` the hub requires, if any (default: PLANCAST_AUTH_ISSUER)"
    )
    parser.add_argument("--json", action="store_true", help="print the token, its rights and its expiry as JSON")
    parser.set_defaults(misused=parser.error)


def run(args: argparse.Namespace) -> int:
    with extra("hub", "making tokens"):
        from hub.access.auth import TokenInvalid, mint
        from hub.access.principal import InvalidGrants
        from hub.config.settings import load
    settings = load(os.environ, args)
    plans, now = _merged(args.plan), time.time()
    try:
        token = mint(settings, args.subject, plans, args.seconds, now)
    except (InvalidGrants, TokenInvalid) as error:
        return int(args.misused(str(error)))
    if args.json:
        ends = datetime.fromtimestamp(int(now + args.seconds), UTC)
        expires_at = ends.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        print_json({"token": token, "subject": args.subject, "plans": plans, "expires_at": expires_at})
    else:
        print(token)
    return 0


def _merged(grants: Iterable[tuple[str, list[str]]]) -> dict[str, list[str]]:
    plans: dict[str, list[str]] = {}
    for pattern, verbs in grants:
        plans.setdefault(pattern, []).extend(verbs)
    return plans


def _grant(text: str) -> tuple[str, list[str]]:
    pattern, equals, verbs = text.rpartition("=")
    listed = [verb.strip() for verb in verbs.split(",") if verb.strip()]
    if not equals or not listed:
        raise argparse.ArgumentTypeError(f"expected PATTERN=VERBS, such as 'team-a.*=read,input'; got {text!r:.60}")
    return pattern, listed


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    seconds = int(match[1]) * UNITS[match[2]] if match else 0
    if not 0 < seconds <= MOST_DAYS * UNITS["d"]:
        raise argparse.ArgumentTypeError(
            f"expected a time such as 90s, 15m, 1h or 7d, at most {MOST_DAYS} days; got {text!r:.40}"
        )
    return seconds
