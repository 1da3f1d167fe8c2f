"""`plancast worker`"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from hub.commands.embedded import check_model, model_of, templates_of
from hub.commands.output import note, print_json
from hub.config.flags import add_flags
from hub.config.setting_types import without_password
from hub.config.settings import load
from hub.terminal.waiting import waiting_for

if TYPE_CHECKING:
    from plan_engine import Engine, Template

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Run plans that a hub or a program has started. Workers that share the engine's
database share the plans, on any number of machines; each must be able to import
the modules of the templates. Stop it with SIGTERM: another worker continues its
plans, or this one when it is started again."""
EXAMPLES = """\
plancast worker
plancast worker --templates shop.plans --engine-db postgresql://db/plans --log redis://cache"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log", metavar="URL", help="the log to use (default: PLANCAST_LOG): sqlite:///… or redis://…")
    parser.add_argument("--json", action="store_true", help="print the worker's name and its templates as JSON")
    add_flags(parser, "engine")


def run(args: argparse.Namespace) -> int:
    settings = load(os.environ, args)
    with waiting_for("loading the engine and its templates"):
        templates = templates_of(settings.templates)
        check_model(settings)
    from plan_engine import Engine

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    engine = Engine(
        settings.engine_db,
        settings.log,
        templates,
        lease=settings.lease,
        plans_at_once=settings.plans_at_once,
        model=model_of(settings),
    )
    asyncio.run(_work(engine, templates, settings.log, json=args.json))
    return 0


async def _work(engine: Engine, templates: Sequence[Template], log: str, *, json: bool) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, ending.set)
    async with AsyncExitStack() as stack:
        with waiting_for("waiting for the engine's database and the log"):
            await stack.enter_async_context(engine)
        names = [template.name for template in templates]
        if json:
            print_json({"worker": engine.name, "templates": names, "log": without_password(log), "pid": os.getpid()})
        else:
            print(f"Plancast worker {engine.name}\ntemplates: {', '.join(names)}", flush=True)
            print(f"log: {without_password(log)}", flush=True)
        await ending.wait()
        note("stopping; other workers continue the plans in progress")
