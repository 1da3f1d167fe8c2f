"""Trims a plan's log over HTTP."""

from __future__ import annotations

import json

import httpx

__all__ = ["trim"]


async def trim(http: httpx.AsyncClient, plan_id: str) -> int:
    """Trim all events that the plan has; returns the offset of the last. The hub must not be an authenticated one."""
    snapshot = await http.get(f"/api/plans/{plan_id}")
    epoch, offset = snapshot.headers["etag"].strip('"').split(":")
    about = {"epoch": epoch, "offset": int(offset), "window": 0, "count": 1}
    lines = json.dumps(about).encode() + b"\n" + snapshot.content + b"\n"
    kept = await http.put(
        f"/api/plans/{plan_id}/checkpoint", content=lines, headers={"Content-Type": "application/x-ndjson"}
    )
    assert kept.json() == {"kept": True}, kept.text
    return int(offset)
