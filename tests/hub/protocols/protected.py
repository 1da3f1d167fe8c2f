"""Hubs with authentication in this process, on a real port, for tests of limits and rights."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from hub.node import Hub
from tests.hub.transports.serving import SECRET, house, serving, token_of

__all__ = ["VERBS", "bearer_of", "served"]

VERBS = ["read", "start", "input", "publish", "signal"]


def bearer_of(hub: Hub, subject: str, plans: dict[str, list[str]]) -> dict[str, str]:
    """The header with a token."""
    return {"Authorization": f"Bearer {token_of(hub, subject, plans)}"}


@asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncGenerator[tuple[Hub, str, httpx.AsyncClient]]:
    """A hub, the URL of its root, and a client with all rights."""
    async with house(folder, auth_secret=SECRET, **settings) as hub, serving(hub) as url:
        base = url.replace("ws://", "http://").removesuffix("/ws/streaming")
        async with httpx.AsyncClient(base_url=base, headers=bearer_of(hub, "ada", {"*": VERBS}), timeout=30) as client:
            yield hub, base, client
