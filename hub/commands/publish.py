"""plancast publish"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Final, get_args

from broadcasters.blocking import Broadcaster
from broadcasters.events import (
    AgentMessage,
    MessageType,
    PlanEvent,
    PlanStatus,
    PlanUpdate,
    StepStatus,
    StepUpdate,
    build,
)
from broadcasters.position import Position
from hub.access.principal import refuse_reserved
from hub.commands.lines import read_events
from hub.commands.opened import log_argument

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Say something about a plan: an agent's message, or, with --status, --title or
--progress, how the plan goes (with --step: how one of its steps goes). It is in
the log when the command returns; its place is printed as EPOCH:OFFSET."""
EXAMPLES = """\
plancast publish plan-1 "Looking at the orders…" --agent "Data Analyst"
plancast publish plan-1 --step figures --title "Collect the figures" --progress 40
plancast publish plan-1 "All done." --status completed
plancast tail plan-1 --json --no-follow | plancast publish a-copy -"""

STATUSES: Final = tuple(dict.fromkeys((*get_args(PlanStatus), *get_args(StepStatus))))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan_id", metavar="PLAN_ID", help="the plan; it begins with the first thing said about it")
    parser.add_argument(
        "text",
        metavar="TEXT",
        nargs="?",
        help="what is said; - reads events from standard input, a JSON object a line, as tail --json prints them",
    )
    parser.add_argument("--agent", metavar="NAME", help="who says it (terminal)")
    parser.add_argument("--type", choices=get_args(MessageType), help="what kind of message it is (thinking)")
    parser.add_argument("--step", metavar="ID", help="the step it belongs to")
    parser.add_argument("--status", choices=STATUSES, metavar="STATUS", help=", ".join(STATUSES))
    parser.add_argument("--title", metavar="TEXT", help="what the plan, or the step, is called")
    parser.add_argument("--progress", type=float, metavar="PERCENT", help="0 to 100")
    parser.add_argument("--owner", metavar="NAME", help="whose plan it is")
    parser.add_argument("--label", metavar="NAME", action="append", help="to find the plan by; may be given again")
    parser.add_argument("--key", help="said again with the same key, it is not stored again")
    parser.add_argument("--deadline", type=float, default=10.0, metavar="SECONDS", help="how long to try (10)")
    parser.add_argument("--json", action="store_true", help="print the place as JSON")
    log_argument(parser)
    parser.set_defaults(misused=parser.error)


def run(args: argparse.Namespace) -> int:
    event = None if args.text == "-" else _event(args)
    if event is None and args.key is not None:
        args.misused("--key names one event; standard input may hold many")
    if event is not None:
        refuse_reserved(event)
    with Broadcaster(args.log, deadline=args.deadline) as broadcaster:
        if event is not None:
            _tell(args, [broadcaster.send(event, key=args.key)])
            return 0
        for events in read_events(args.plan_id, sys.stdin.buffer):
            _tell(args, broadcaster.send_all(args.plan_id, events))
    return 0


def _event(args: argparse.Namespace) -> PlanEvent:
    about_plan = {"owner": args.owner, "labels": args.label}
    update = {"status": args.status, "title": args.title, "progress": args.progress, **about_plan}
    fields = {"plan_id": args.plan_id, "agent_name": args.agent, "content": args.text, "step_id": args.step}
    if all(value is None for value in update.values()):
        if args.text is None:
            args.misused("say something: TEXT, --status, --title or --progress")
        return build(AgentMessage, {**fields, "agent_name": args.agent or "terminal", "message_type": args.type})
    if args.step is None or any(about_plan.values()):
        return build(PlanUpdate, {**fields, **update, "message_type": args.type})
    return build(StepUpdate, {**fields, **update, "status": args.status or "in_progress"})


def _tell(args: argparse.Namespace, places: Sequence[Position]) -> None:
    for place in places:
        if args.json:
            print(json.dumps({"plan_id": args.plan_id, "epoch": place.epoch, "offset": place.offset}))
        else:
            print(f"{place.epoch}:{place.offset}")
    sys.stdout.flush()
