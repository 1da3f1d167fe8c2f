"""A server of language models over HTTP, with the errors of a real one; its formats are in `model_apis`.

async with ModelServer(lambda asked: "Hello") as server:
    os.environ["OPENAI_BASE_URL"] = server.url              # and PLANCAST_MODEL=openai:any-name
    server.next(Refusal(429, retry_after=0.1), Cut(after=3))  # what happens to the next two requests
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil
from typing import Any, Self

from tests.servers.model_apis import APIS, ChatRequest, ModelApi, Reply

__all__ = ["Cut", "Fault", "ModelServer", "Refusal"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error instead of an answer."""

    status: int
    message: str = "no"
    retry_after: float | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection ends after so many pieces of the answer; `quietly`: as if the answer were complete."""

    after: int = 0
    quietly: bool = False


Fault = Refusal | Cut


class ModelServer:
    """`respond` answers each request that has the right key, unless a fault was set for it.

    Attributes:
        requests: all requests to a known path, also those that were refused or cut.
        connections: the number of connections accepted.
    """

    def __init__(self, respond: Callable[[ChatRequest], Reply], *, key: str | None = None) -> None:
        self.requests: list[ChatRequest] = []
        self.connections = 0
        self._respond, self._key = respond, key
        self._faults: deque[Fault | None] = deque()
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._connections.values():
            writer.transport.abort()
        if self._connections:
            await asyncio.wait(self._connections)

    @property
    def origin(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def url(self) -> str:
        """The base URL for clients of OpenAI's API."""
        return f"{self.origin}/v1"

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    def next(self, *faults: Fault | None) -> None:
        """What happens to the next requests, in order; None: a proper answer."""
        self._faults.extend(faults)

    # ---- HTTP

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections += 1
        self._connections[task] = writer
        try:
            while request := await _read(reader):
                await self._serve(*request, writer)
        except OSError:
            pass
        finally:
            del self._connections[task]
            writer.close()

    async def _serve(
        self, target: str, headers: Mapping[str, str], body: Mapping[str, Any], writer: asyncio.StreamWriter
    ) -> None:
        path = target.partition("?")[0]
        api = next((api for api in APIS if re.fullmatch(api.path, path)), None)
        if api is None:
            await _send(writer, 404, _error(Refusal(404, f"there is no {path}")))
            return
        request = ChatRequest(target, headers, api.read(body))
        self.requests.append(request)
        match self._fault(headers):
            case Refusal() as refusal:
                await _send(writer, refusal.status, _error(refusal), refusal.retry_after)
            case fault:
                await self._answer(writer, request, api, fault)

    def _fault(self, headers: Mapping[str, str]) -> Fault | None:
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if self._key is not None and self._key not in (bearer, headers.get("api-key"), headers.get("x-api-key")):
            return Refusal(401, "Incorrect API key provided", code="invalid_api_key")
        return self._faults.popleft() if self._faults else None

    async def _answer(self, writer: asyncio.StreamWriter, request: ChatRequest, api: ModelApi, cut: Cut | None) -> None:
        reply = self._respond(request)
        if not request.streamed:
            if cut is None:
                await _send(writer, 200, api.whole(request, reply))
            else:
                writer.transport.abort()
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        begins, pieces, ends = api.stream(request, reply)
        for event in [*begins, *pieces[: cut.after]] if cut else [*begins, *pieces, *ends]:
            data = event.encode()
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await writer.drain()
        if cut is None or cut.quietly:
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        else:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], dict[str, Any]] | None:
    """The next request on a connection: its target, headers and body. None once the client has closed it."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *rest = head.split("\r\n")
    pairs = (line.partition(":") for line in rest if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return first.split(" ")[1], headers, json.loads(body or b"{}")


def _error(refusal: Refusal) -> Mapping[str, Any]:
    """An error in a form that clients of both APIs can read."""
    kind = "rate_limit_error" if refusal.status == 429 else "invalid_request_error"
    return {"type": "error", "error": {"message": refusal.message, "type": kind, "code": refusal.code}}


async def _send(
    writer: asyncio.StreamWriter, status: int, body: Mapping[str, Any], retry_after: float | None = None
) -> None:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} {_phrase(status)}\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(data)}\r\n"
    if retry_after is not None:
        head += f"Retry-After: {ceil(retry_after)}\r\n"
        head += "" if float(retry_after).is_integer() else f"Retry-After-Ms: {retry_after * 1000:.0f}\r\n"
    writer.write(f"{head}\r\n".encode() + data)
    await writer.drain()


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in {*HTTPStatus} else "Overloaded"
