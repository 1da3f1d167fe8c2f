"""A FastAPI app that starts an agent in the background and returns the URL of its plan's page at once.

uvicorn examples.fastapi_app:app --port 8001     # in another terminal: plancast serve
curl -X POST '127.0.0.1:8001/questions?text=How+is+May'
"""

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from broadcasters import Broadcaster
from plan_engine.adapters.pydantic_ai import run_pydantic_ai

HUB = os.environ.get("PLANCAST_HUB", "http://127.0.0.1:8000")
agent = Agent(TestModel(), name="Data Analyst")  # a model that needs no key; put yours here


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with Broadcaster() as app.state.broadcaster:
        app.state.runs = set()
        yield
        for run in app.state.runs:
            run.cancel()  # each plan reports that it was cancelled
        await asyncio.gather(*app.state.runs, return_exceptions=True)


app = FastAPI(lifespan=lifespan)


@app.post("/questions", status_code=202)
async def ask(text: str) -> dict[str, str]:
    plan_id = f"question-{secrets.token_hex(6)}"
    run = asyncio.create_task(run_pydantic_ai(plan_id, agent, text, broadcaster=app.state.broadcaster, title=text))
    app.state.runs.add(run)
    run.add_done_callback(app.state.runs.discard)
    return {"plan_id": plan_id, "page": f"{HUB}/plan/{plan_id}"}
