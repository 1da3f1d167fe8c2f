"""plancast worker"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hub.commands.gallery import check_model, model_of, templates_of
from hub.config.setting_types import without_password
from hub.config.settings import add_flags, load

if TYPE_CHECKING:
    from plan_engine import Engine, Template

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Run plans that were started by a hub or by a program. Workers that share the
engine's database share the work, on as many machines as there are; each needs
the modules that its templates are in. End it with SIGTERM: what it was working
on goes on in another worker, or here when it is back."""
EXAMPLES = """\
plancast worker
plancast worker --templates shop.plans --engine-db postgresql://db/plans --log redis://cache"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log", metavar="URL", help="where plans are kept: sqlite:///… or redis://… (or PLANCAST_LOG)")
    add_flags(parser, "engine")


def run(args: argparse.Namespace) -> int:
    settings = load(os.environ, args)
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
    asyncio.run(_work(engine, templates, settings.log))
    return 0


async def _work(engine: Engine, templates: Sequence[Template], log: str) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, ending.set)
    async with engine:
        names = ", ".join(template.name for template in templates)
        print(f"Plancast worker {engine.name}", flush=True)
        print(f"templates: {names}\nlog: {without_password(log)}", flush=True)
        await ending.wait()
        print("stopping; what is under way goes on elsewhere", flush=True)
