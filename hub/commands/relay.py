"""`plancast relay`"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
from collections.abc import Mapping
from typing import Any

from broadcasters.broadcaster import Broadcaster
from broadcasters.errors import InvalidEvent
from broadcasters.events import check_plan_id
from hub.commands import log_argument
from hub.commands.output import note, print_json
from hub.terminal.waiting import waiting_for

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Run an agent that is served by another program, over AG-UI, the AI SDK's stream
or LangGraph's API, and publish what it does as a plan: any number of people can
watch it, reload, and answer its questions, and nothing is lost. Prints the
plan's id at once, and returns when the agent has finished. A token for the
server is taken from PLANCAST_RELAY_TOKEN."""
EXAMPLES = """\
plancast relay --ag-ui http://127.0.0.1:8000/agent "Write the report"
plancast relay --ai-sdk http://127.0.0.1:3000/api/chat --plan report-7 "Write the report"
plancast relay --langgraph http://127.0.0.1:2024 --assistant agent "Write the report\""""


def arguments(parser: argparse.ArgumentParser) -> None:
    server = parser.add_mutually_exclusive_group(required=True)
    server.add_argument("--ag-ui", metavar="URL", help="an AG-UI agent, as HttpAgent is given it")
    server.add_argument("--ai-sdk", metavar="URL", help="a chat endpoint of the AI SDK")
    server.add_argument("--langgraph", metavar="URL", help="a LangGraph server")
    parser.add_argument("text", metavar="TEXT", help="the message to the agent")
    parser.add_argument("--plan", metavar="PLAN_ID", help="the plan's id (default: a new one)")
    parser.add_argument("--title", metavar="TEXT", help="the plan's title (default: the message)")
    parser.add_argument(
        "--assistant", metavar="NAME", default="agent", help="with --langgraph: the graph or assistant (default: agent)"
    )
    parser.add_argument(
        "--header", metavar="NAME:VALUE", action="append", default=[], help="a header of the requests; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="print the plan's id, and then its end, as JSON")
    log_argument(parser)


def run(args: argparse.Namespace) -> int:
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    plan_id = args.plan or f"plan-{secrets.token_hex(8)}"
    check_plan_id(plan_id)
    headers = _headers(args.header)
    if args.json:
        print_json({"plan_id": plan_id, "state": "started"})
    else:
        print(plan_id, flush=True)
    with waiting_for(f"the agent is at work; `plancast tail {plan_id}` follows it"):
        await _relay(args, plan_id, {"headers": headers, "title": args.title})
    if args.json:
        print_json({"plan_id": plan_id, "state": "finished"})
    else:
        note("the agent has finished")
    return 0


async def _relay(args: argparse.Namespace, plan_id: str, options: dict[str, Any]) -> None:
    async with Broadcaster(args.log) as broadcaster:
        if args.ag_ui:
            from plan_engine.adapters.relay.ag_ui import run_ag_ui

            await run_ag_ui(plan_id, args.ag_ui, args.text, broadcaster=broadcaster, **options)
        elif args.ai_sdk:
            from plan_engine.adapters.relay.ai_sdk import run_ai_sdk

            await run_ai_sdk(plan_id, args.ai_sdk, args.text, broadcaster=broadcaster, **options)
        else:
            from plan_engine.adapters.relay.langgraph import run_langgraph_server

            options["assistant"] = args.assistant
            await run_langgraph_server(plan_id, args.langgraph, args.text, broadcaster=broadcaster, **options)


def _headers(given: list[str]) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for header in given:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise InvalidEvent("--header", f"expected NAME:VALUE, such as 'X-Api-Key: secret'; got {header!r:.60}")
        headers[name.strip()] = value.strip()
    token = os.environ.get("PLANCAST_RELAY_TOKEN", "").strip()
    return {"Authorization": f"Bearer {token}", **headers} if token else headers
