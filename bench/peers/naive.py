"""The simplest implementation with FastAPI: a list of sockets per plan, and one `send_text` per socket.

    python -m bench.peers.naive PORT FEED

Lines received on port FEED are sent to all subscribers.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, WebSocket

subscribers = defaultdict[str, list[WebSocket]](list)


@asynccontextmanager
async def feed(_: FastAPI) -> AsyncIterator[None]:
    async def producer(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        async for line in reader:
            event = json.loads(line)
            for socket in subscribers[event["plan_id"]]:
                await socket.send_text(json.dumps(event, separators=(",", ":")))

    async with await asyncio.start_server(producer, "127.0.0.1", int(sys.argv[2])):
        yield


app = FastAPI(lifespan=feed)


@app.websocket("/")
async def streaming(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        plan_id = json.loads(text)["plan_id"]
        subscribers[plan_id].append(socket)
        await socket.send_text(f'{{"type":"subscription_confirmed","plan_id":"{plan_id}"}}')


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", ws_ping_interval=None)
