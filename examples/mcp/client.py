"""An MCP client: starts a plan, shows its progress, and answers its question in the terminal."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from mcp import Client
from mcp.client.session import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult


async def show(progress: float, total: float | None, message: str | None) -> None:
    print(f"{progress:4.0f}  {message}")


async def answer(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    text = await asyncio.to_thread(input, f"{params.message} ")
    return ElicitResult(action="accept", content={"answer": text})


async def main(request: str) -> None:
    async with Client("http://127.0.0.1:8000/mcp", elicitation_callback=answer) as client:
        arguments = {"template": "business_operations", "input": {"request": request}}
        plan: dict[str, Any] = (await client.call_tool("start_plan", arguments)).structured_content or {}
        while plan.get("status") not in ("completed", "error", "cancelled"):
            watch = {"plan_id": plan["plan_id"], "after": plan.get("offset", 0)}
            plan = (await client.call_tool("watch_plan", watch, progress_callback=show)).structured_content or {}
        print(plan["status"], plan.get("result"))


asyncio.run(main(" ".join(sys.argv[1:]) or "Sales by region are uneven"))
