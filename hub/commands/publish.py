"""`plancast publish`"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from io import BufferedReader
from typing import Any, BinaryIO, Final, get_args

from broadcasters.blocking import Broadcaster
from broadcasters.errors import InvalidEvent
from broadcasters.events import (
    EVENTS,
    MAX_EVENT_BYTES,
    AgentMessage,
    MessageType,
    PlanEvent,
    PlanStatus,
    PlanUpdate,
    StepStatus,
    StepUpdate,
    build,
)
from broadcasters.log import default_url
from broadcasters.position import Position
from hub.access.principal import refuse_reserved
from hub.commands import log_argument
from hub.commands.output import note
from hub.config.setting_types import without_password
from hub.terminal.waiting import waiting_for

__all__ = ["ABOUT", "EXAMPLES", "arguments", "read_events", "run"]

ABOUT = """\
Publish an event of a plan: an agent's message, or, with --status, --title or
--progress, an update of the plan (with --step: of one of its steps). When the
command returns, the event is in the log; its position is printed as
EPOCH:OFFSET."""
EXAMPLES = """\
plancast publish plan-1 "Looking at the orders…" --agent "Data Analyst"
plancast publish plan-1 --step figures --title "Collect the figures" --progress 40
plancast publish plan-1 "All done." --status completed
plancast tail plan-1 --json --no-follow | plancast publish a-copy -"""

STATUSES: Final = tuple(dict.fromkeys((*get_args(PlanStatus), *get_args(StepStatus))))
CHUNK: Final = 256 * 1024
LONGEST: Final = 2 * MAX_EVENT_BYTES
"""Bytes of a line on standard input."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan_id", metavar="PLAN_ID", help="the plan's id; its first event creates the plan")
    parser.add_argument(
        "text",
        metavar="TEXT",
        nargs="?",
        help="the text; - reads events from standard input, one JSON object per line, as tail --json prints them",
    )
    parser.add_argument("--agent", metavar="NAME", help="the agent's name (default: terminal)")
    parser.add_argument("--type", choices=get_args(MessageType), help="the message's type (default: thinking)")
    parser.add_argument("--step", metavar="ID", help="the step's id")
    parser.add_argument("--status", choices=STATUSES, metavar="STATUS", help=", ".join(STATUSES))
    parser.add_argument("--title", metavar="TEXT", help="the title of the plan or step")
    parser.add_argument("--progress", type=_percent, metavar="PERCENT", help="0 to 100")
    parser.add_argument("--owner", metavar="NAME", help="the plan's owner")
    parser.add_argument("--label", metavar="NAME", action="append", help="a label to filter plans by; repeatable")
    parser.add_argument("--key", help="idempotency key: the plan stores only the first event with this key")
    parser.add_argument(
        "--deadline", type=float, default=10.0, metavar="SECONDS", help="how long to retry (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="print the position as JSON")
    log_argument(parser)
    parser.set_defaults(misused=parser.error)


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 100; got {text!r:.40}")
    return value


def run(args: argparse.Namespace) -> int:
    event = None if args.text == "-" else _event(args)
    if event is None and args.key is not None:
        args.misused("--key applies to one event and can't be used with events from standard input")
    if event is not None:
        refuse_reserved(event)
    if event is None and sys.stdin.isatty():
        note("reading events from standard input, a JSON object a line; Ctrl-D ends")
    hint = f"publishing to {without_password(args.log or default_url())}, for up to {args.deadline:g} s"
    with Broadcaster(args.log, deadline=args.deadline) as broadcaster:
        if event is not None:
            with waiting_for(hint):
                at = broadcaster.send(event, key=args.key)
            _print(args, [at])
            return 0
        for events in read_events(args.plan_id, sys.stdin.buffer):
            with waiting_for(hint):
                positions = broadcaster.send_all(args.plan_id, events)
            _print(args, positions)
    return 0


def _event(args: argparse.Namespace) -> PlanEvent:
    about_plan = {"owner": args.owner, "labels": args.label}
    update = {"status": args.status, "title": args.title, "progress": args.progress, **about_plan}
    fields = {"plan_id": args.plan_id, "agent_name": args.agent, "content": args.text, "step_id": args.step}
    if all(value is None for value in update.values()):
        if args.text is None:
            args.misused("nothing to publish: expected TEXT, --status, --title, --progress, --owner or --label")
        return build(AgentMessage, {**fields, "agent_name": args.agent or "terminal", "message_type": args.type})
    if args.step is None or any(about_plan.values()):
        return build(PlanUpdate, {**fields, **update, "message_type": args.type})
    return build(StepUpdate, {**fields, **update, "status": args.status or "in_progress"})


def _print(args: argparse.Namespace, positions: Sequence[Position]) -> None:
    for at in positions:
        if args.json:
            print(json.dumps({"plan_id": args.plan_id, "epoch": at.epoch, "offset": at.offset}))
        else:
            print(f"{at.epoch}:{at.offset}")
    sys.stdout.flush()


def read_events(plan_id: str, source: BinaryIO) -> Iterator[list[PlanEvent]]:
    """Events from lines of JSON, each published to `plan_id`; those that arrive together, together.

    An invalid line raises `InvalidEvent` with its number, after the events before it were yielded."""
    number = 0
    for lines in _lines(source):
        events: list[PlanEvent] = []
        try:
            for line in lines:
                number += 1
                if line.strip():
                    events.append(_event_of(plan_id, line))
        except InvalidEvent as error:
            if events:
                yield events
            raise InvalidEvent(f"line {number}, {error.field}", error.problem) from None
        if events:
            yield events


def _lines(source: BinaryIO) -> Iterator[list[bytes]]:
    """Complete lines, as soon as they arrive."""
    rest = b""
    while chunk := source.read1(CHUNK) if isinstance(source, BufferedReader) else source.read(CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST:
            lines.append(rest)
        yield lines
    if rest:
        yield [rest]


def _event_of(plan_id: str, line: bytes) -> PlanEvent:
    try:
        parsed: Any = json.loads(line) if len(line) <= LONGEST else None
        cls = EVENTS[parsed["type"]]
        fields = {**parsed["data"], "plan_id": plan_id}
    except (ValueError, KeyError, TypeError, RecursionError):
        problem = "expected a JSON object with type and data, as plancast tail --json prints it"
        raise InvalidEvent("event", problem) from None
    event = build(cls, fields)
    refuse_reserved(event)
    return event
