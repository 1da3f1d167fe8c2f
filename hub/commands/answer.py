"""`plancast answer`"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast

from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import PlancastError
from broadcasters.events import check_plan_id
from broadcasters.snapshot import InputState, Snapshot
from hub.commands import log_argument
from hub.commands.output import print_json
from hub.commands.plan_access import open_plans
from hub.config.suggestions import did_you_mean
from hub.terminal.waiting import waiting_for

__all__ = ["ABOUT", "EXAMPLES", "answer_to", "arguments", "open_request", "run"]

ABOUT = """\
Answer a question that a plan asks. REQUEST is needed only if the plan asks
several; plancast tail shows them. VALUE is one of the options, yes or no for an
approval, or any text; where the question has a schema for another type, JSON.
The first answer wins."""
EXAMPLES = """\
plancast answer plan-1 yes
plancast answer plan-1 budget 1500
plancast answer plan-1 dates '{"from": "2026-05-01", "days": 3}'"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan_id", metavar="PLAN_ID", help="the plan's id")
    parser.add_argument("request", metavar="REQUEST", nargs="?", help="the id of the question (default: the only one)")
    parser.add_argument("value", metavar="VALUE", help="the answer")
    parser.add_argument("--json", action="store_true", help="print the answer with its position as JSON")
    log_argument(parser)


def run(args: argparse.Namespace) -> int:
    check_plan_id(args.plan_id)
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    async with open_plans(args) as access:
        with waiting_for(f"waiting for the log to read {args.plan_id}"):
            plan, _ = await snapshot_of(access.log, args.plan_id)
        request = open_request(plan, args.request)
        answer = answer_to(request, args.value)
        with waiting_for(f"sending the answer to {args.plan_id}"):
            at = await access.answer(args.plan_id, request.request_id, answer)
    if args.json:
        place = {"plan_id": args.plan_id, "request_id": request.request_id, "epoch": at.epoch, "offset": at.offset}
        print_json({**place, "answer": answer})
    else:
        shown = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        print(f"{request.prompt} → {shown}")
    return 0


def open_request(plan: Snapshot, request_id: str | None) -> InputState:
    """The question of this id, or the only open one. Raises `PlancastError`."""
    if not plan.offset:
        raise PlancastError(f"there is no plan {plan.plan_id!r} (plancast plans lists all plans)")
    waiting = {one.request_id: one for one in plan.inputs if one.answered_at is None}
    if request_id is not None:
        found = next((one for one in plan.inputs if one.request_id == request_id), None)
        if found is None:
            hint = did_you_mean(request_id, waiting)
            raise PlancastError(f"{plan.plan_id} has asked no question {request_id!r:.80}{hint}")
        return found
    if len(waiting) > 1:
        raise PlancastError(f"{plan.plan_id} asks {len(waiting)} questions; name one: {', '.join(waiting)}")
    if not waiting:
        ended = f"; it has ended ({plan.status})" if plan.ended_at is not None else ""
        raise PlancastError(f"{plan.plan_id} has no open question{ended}")
    return next(iter(waiting.values()))


def answer_to(request: InputState, text: str) -> Any:
    """The answer that a person means by this text. Raises `PlancastError` if it can't be one."""
    if request.options:
        return _option(request, text)
    if request.json_schema is not None and not _takes_text(request.json_schema):
        try:
            return json.loads(text)
        except ValueError:
            expected = request.json_schema.get("type", "value that fits its schema")
            raise PlancastError(f"the answer must be a JSON {expected}; got {text!r:.60}") from None
    if request.kind == "approval" and request.json_schema is None:
        word = text.strip().lower()
        if word not in APPROVALS:
            raise PlancastError(f"the answer to an approval must be yes or no; got {text!r:.60}")
        return APPROVALS[word]
    return text


APPROVALS: Mapping[str, bool] = {
    **dict.fromkeys(("yes", "y", "true", "approve", "approved", "ok"), True),
    **dict.fromkeys(("no", "n", "false", "decline", "declined", "reject", "rejected"), False),
}


def _option(request: InputState, text: str) -> Any:
    """The value of the option with this value or label. An approval or a question may be answered otherwise, too."""
    names: dict[str, Any] = {}
    for option in request.options or ():
        fields: dict[str, Any] = cast("dict[str, Any]", option) if isinstance(option, dict) else {}
        value: Any = fields.get("value", option)
        names.setdefault(str(fields.get("label", value)).lower(), value)
        names.setdefault((value if isinstance(value, str) else json.dumps(value)).lower(), value)
    if text.strip().lower() in names:
        return names[text.strip().lower()]
    if request.kind == "clarification":
        return text
    expected = ", ".join(str(name) for name in dict.fromkeys(names))
    raise PlancastError(f"expected one of {expected:.300}; got {text!r:.60}{did_you_mean(text, names)}")


def _takes_text(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type", "string" if "enum" in schema or not schema else None)
    return kinds == "string" or (isinstance(kinds, list) and "string" in kinds)
