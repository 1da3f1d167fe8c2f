"""`plancast mcp`"""

from __future__ import annotations

import argparse
import asyncio
import os
from importlib import import_module
from typing import Final

from broadcasters.errors import PlancastError
from broadcasters.extras import extra
from broadcasters.log.http.link import HubUrl

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Serve a hub's plans to a desktop host of language models: the Model Context
Protocol over standard input and output. The host starts this command; the hub
must be running. PLANCAST_TOKEN has the token, if the hub requires one."""
EXAMPLES = """\
plancast mcp
PLANCAST_TOKEN=@/path/to/token plancast mcp https://plans.example.org"""

DEFAULT: Final = "http://127.0.0.1:8000"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "hub", metavar="HUB", nargs="?", help=f"the hub's URL (default: PLANCAST_LOG if it is one, or {DEFAULT})"
    )


def run(args: argparse.Namespace) -> int:
    with extra("mcp", "serving MCP"):
        import_module("mcp")
    url = _hub_url(args.hub)
    from hub.protocols.mcp.bridge import serve_stdio

    asyncio.run(serve_stdio(url))
    return 0


def _hub_url(given: str | None) -> HubUrl:
    configured = os.environ.get("PLANCAST_LOG", "").strip()
    url = given or (configured if configured.startswith(("http://", "https://")) else DEFAULT)
    if not url.startswith(("http://", "https://")):
        raise PlancastError(f"expected the URL of a hub, http://… or https://…; got {url!r:.80}")
    return HubUrl.parse(url)
