"""The log a command works on, for as long as it works."""

from __future__ import annotations

import argparse
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog

__all__ = ["log_argument", "opened"]


def log_argument(parser: argparse.ArgumentParser) -> None:
    where = "sqlite:///…, redis://…, or a hub's http://… (or PLANCAST_LOG; a hub's token: PLANCAST_TOKEN)"
    parser.add_argument("--log", metavar="URL", help=f"where plans are kept: {where}")


@asynccontextmanager
async def opened(url: str | None) -> AsyncGenerator[PlanLog]:
    """The log of that URL (or PLANCAST_LOG, or the default), open."""
    log = log_of(url)
    await log.open()
    try:
        yield log
    finally:
        await log.close()
