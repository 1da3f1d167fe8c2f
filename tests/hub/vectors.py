"""Runs the language-neutral cases of tests/vectors/wire against a hub. tests/vectors/README.md describes their format.

A `Dial` is how a client connects; only that differs between transports.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from broadcasters.checkpointing import take_checkpoint
from broadcasters.events import EVENTS, build
from broadcasters.supervision import Part
from hub.access.auth import mint
from hub.config.setting_types import Secret
from hub.config.settings import Settings
from hub.engine_port import EngineStatistics, PlanNotRunning, SignalName, TemplateInfo
from hub.node import Hub
from hub.transports.peers import Peer

__all__ = ["CASES", "Case", "Client", "Closed", "Dial", "Runner", "match", "run"]

VECTORS: Final = Path(__file__).parents[1] / "vectors/wire"
DEADLINE_S: Final = 15.0
SECRET: Final = "a secret that only tests know, and long enough"
_moment = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")


@dataclass(frozen=True)
class Case:
    """One case of a file."""

    file: str
    name: str
    clauses: Sequence[str]
    steps: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    people: Mapping[str, Any] | None = None
    engine: bool = False
    positions: bool = True
    """Whether its clients know positions; the npm client runs only these cases."""

    def __str__(self) -> str:
        return f"{self.file}: {self.name}"


def _load() -> list[Case]:
    files = [(path.stem, json.loads(path.read_text())) for path in sorted(VECTORS.glob("*.json"))]
    return [Case(file=stem, **case) for stem, file in files for case in file["cases"]]


CASES: Final = _load()


@dataclass(frozen=True)
class Closed:
    """The close that a client receives."""

    code: int


class Client(Protocol):
    """A client's connection."""

    async def send(self, frame: str | bytes) -> None:
        """Send a text frame, or a binary one (bytes). Does nothing if the hub has closed."""

    async def receive(self) -> str | Closed:
        """Receive the next frame, or the close."""

    async def close(self) -> None:
        """Close the connection. Does nothing the second time."""


class Dial(Protocol):
    """Connects a client to a hub."""

    def __call__(self, peer: Peer, /) -> Awaitable[Client]: ...


Runner = Callable[[Hub], AbstractAsyncContextManager[Dial]]
"""Context manager that makes a running hub reachable by some transport."""


class _StubEngine:
    """An engine that starts no plans and accepts every signal."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    @property
    def parts(self) -> Mapping[str, Part]:
        return {}

    def statistics(self) -> EngineStatistics:
        return EngineStatistics()

    def templates(self) -> Sequence[TemplateInfo]:
        return ()

    async def start(self, template: str, given: Any, plan_id: str, owner: str | None) -> bool:  # noqa: ARG002
        raise AssertionError("no vector starts a plan")

    async def signal(self, plan_id: str, signal: SignalName, by: str) -> None:  # noqa: ARG002
        if plan_id == "nobodys":
            raise PlanNotRunning("no engine runs this plan")


async def run(case: Case, runner: Runner, folder: Path) -> None:
    """Run the case against a new hub with a log in this folder. Raises AssertionError if the result differs."""
    async with AsyncExitStack() as stack:
        case_run = _CaseRun(case, runner, folder)
        stack.push_async_callback(case_run.shut)
        await case_run.open()
        for number, step in enumerate(case.steps, 1):
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await case_run.take(step)
            except TimeoutError:
                raise AssertionError(f"step {number}, {step}: nothing received") from None
            except AssertionError as error:
                raise AssertionError(f"step {number}, {step}: {error}") from None


class _CaseRun:
    """A running case."""

    def __init__(self, case: Case, runner: Runner, folder: Path) -> None:
        secret = None if case.people is None else Secret(SECRET.encode())
        self._file = folder / "plans.db"
        self._settings = Settings(log=f"sqlite:///{self._file}", auth_secret=secret, **case.settings)
        self._engine = _StubEngine() if case.engine else None
        self._runner = runner
        self._clients: dict[str, Client] = {}
        self._draining: list[asyncio.Task[None]] = []
        self._pings = 0
        self._found: dict[str, Any] = {
            f"token:{name}": mint(self._settings, name, person["plans"], 600, time.time())
            for name, person in (case.people or {}).items()
        }

    async def open(self) -> None:
        """A hub, and how to connect to it."""
        self._stack = AsyncExitStack()
        self._hub = await self._stack.enter_async_context(Hub(self._settings, engine=self._engine))
        self._dial = await self._stack.enter_async_context(self._runner(self._hub))

    async def shut(self) -> None:
        for client in self._clients.values():
            await client.close()
        self._clients.clear()
        for task in self._draining:
            task.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)
        await self._stack.aclose()

    async def take(self, step: Mapping[str, Any]) -> None:
        [verb] = step.keys() & _VERBS if "connect" not in step else ["connect"]
        await getattr(self, f"_{verb}")(step[verb], step)

    def _on(self, step: Mapping[str, Any]) -> Client:
        return self._clients[step.get("on", "a")]

    # -- steps of the log ----------------------------------------------------------------------------------------------

    async def _say(self, plans: Mapping[str, Any], _: Mapping[str, Any]) -> None:
        for plan_id, given in plans.items():
            events = (
                list(given)
                if isinstance(given, list)
                else [_numbered(given["event"], n) for n in range(1, given["times"] + 1)]
            )
            made = [build(EVENTS[one["type"]], {**one["data"], "plan_id": plan_id}) for one in events]
            for at in range(0, len(made), 200):
                await self._hub.broadcaster.send_all(plan_id, made[at : at + 200])

    async def _trim(self, plan_id: str, _: Mapping[str, Any]) -> None:
        assert await take_checkpoint(self._hub.log, plan_id, window=0)

    async def _delete(self, plan_id: str, _: Mapping[str, Any]) -> None:
        assert await self._hub.log.delete(plan_id)

    async def _drain(self, seconds: float, _: Mapping[str, Any]) -> None:
        self._draining.append(asyncio.create_task(self._hub.drain(seconds)))

    async def _keep(self, *_: Any) -> None:
        await self.shut()
        shutil.copy(self._file, self._file.with_suffix(".kept"))
        await self.open()

    async def _put_back(self, *_: Any) -> None:
        await self.shut()
        for left in ("-wal", "-shm"):
            self._file.with_name(self._file.name + left).unlink(missing_ok=True)
        self._file.with_suffix(".kept").replace(self._file)
        await self.open()

    # -- steps of clients ----------------------------------------------------------------------------------------------

    async def _connect(self, name: str, step: Mapping[str, Any]) -> None:
        token = self._found[f"token:{step['as']}"] if "as" in step else None
        peer = Peer(
            address="127.0.0.1",
            scheme="ws",
            host="127.0.0.1",
            origin=step.get("origin"),
            authorization=f"Bearer {token}" if token else None,
            ticket=await self._ticket(step) if "ticket" in step else None,
        )
        client = self._clients[name] = await self._dial(peer)
        received = await client.receive()
        if "refused" in step:
            assert received == Closed(step["refused"]), f"received {received}"
            return
        assert isinstance(received, str), f"received {received}"
        self._compare(json.loads(received), step.get("expect", {"type": "connected", "...": True}))

    async def _ticket(self, step: Mapping[str, Any]) -> str:
        token = self._found[f"token:{step['ticket']}"]
        principal = await self._hub.authenticator.authenticate(token, time.time())
        ticket = self._hub.tickets.issue(principal, time.time()).ticket
        if step.get("twice"):
            await self._hub.tickets.redeem(ticket, time.time())
        return ticket

    async def _send(self, frame: Any, step: Mapping[str, Any]) -> None:
        text = json.dumps(self._filled(frame), ensure_ascii=False)
        for _ in range(step.get("times", 1)):
            await self._on(step).send(text)

    async def _send_text(self, text: str, step: Mapping[str, Any]) -> None:
        await self._on(step).send(text * step.get("repeat", 1))

    async def _send_binary(self, text: str, step: Mapping[str, Any]) -> None:
        await self._on(step).send(text.encode())

    async def _disconnect(self, name: str, _: Mapping[str, Any]) -> None:
        await self._clients.pop(name).close()

    async def _expect(self, pattern: Any, step: Mapping[str, Any]) -> None:
        for _ in range(step.get("times", 1)):
            self._compare(await self._frame(step), pattern)

    async def _expect_close(self, code: int, step: Mapping[str, Any]) -> None:
        received = await self._on(step).receive()
        assert received == Closed(code), f"received {received}"

    async def _quiet(self, _: Any, step: Mapping[str, Any]) -> None:
        self._pings += 1
        nonce = f"quiet {self._pings}"
        await self._on(step).send(json.dumps({"type": "ping", "nonce": nonce}))
        self._compare(await self._frame(step), {"type": "pong", "nonce": nonce})

    async def _story(self, pattern: Mapping[str, Any], step: Mapping[str, Any]) -> None:
        at, contents, merged = pattern["after"], "", False
        while at < pattern["to"]:
            frame = await self._frame(step)
            assert frame["plan_id"] == pattern["plan_id"], f"received {frame}"
            assert frame.get("first", frame["offset"]) == at + 1, f"received {frame} after {at}"
            merged = merged or frame.get("first", frame["offset"]) != frame["offset"]
            at, contents = frame["offset"], contents + frame["data"].get("content", "")
        assert at == pattern["to"]
        assert merged is pattern.get("merged", False)
        assert contents == pattern.get("content", contents)

    async def _frame(self, step: Mapping[str, Any]) -> dict[str, Any]:
        received = await self._on(step).receive()
        assert isinstance(received, str), f"received {received}"
        frame: dict[str, Any] = json.loads(received)
        return frame

    # -- placeholders --------------------------------------------------------------------------------------------------

    def _compare(self, got: Any, pattern: Any) -> None:
        problem = match(got, pattern, self._found)
        assert problem is None, f"{problem}; received {json.dumps(got)}"

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("$"):
            return self._found[value[1:]]
        if isinstance(value, dict):
            return {key: self._filled(inner) for key, inner in value.items()}
        return [self._filled(inner) for inner in value] if isinstance(value, list) else value


_LOG_STEPS: Final = {"say", "trim", "delete", "keep", "put_back", "drain"}
_CLIENT_STEPS: Final = {"send", "send_text", "send_binary", "disconnect"}
_EXPECTATIONS: Final = {"expect", "expect_close", "story", "quiet"}
_VERBS: Final = _LOG_STEPS | _CLIENT_STEPS | _EXPECTATIONS


def match(got: Any, pattern: Any, found: dict[str, Any], at: str = "frame") -> str | None:
    """Why `got` doesn't match, or None. Values that the pattern names are added to `found`."""
    if isinstance(pattern, str) and pattern.startswith("$"):
        return _placeholder(got, pattern[1:], found, at)
    if isinstance(pattern, dict) and isinstance(got, dict):
        return _members(got, pattern, found, at)
    if isinstance(pattern, list) and isinstance(got, list):
        if len(got) != len(pattern):
            return f"{at} has {len(got)} elements, not {len(pattern)}"
        problems = (match(got[n], pattern[n], found, f"{at}[{n}]") for n in range(len(got)))
        return next((problem for problem in problems if problem), None)
    same = got == pattern and isinstance(got, bool) == isinstance(pattern, bool)
    return None if same else f"{at} is {got!r:.80}, not {pattern!r:.80}"


def _members(got: dict[str, Any], pattern: dict[str, Any], found: dict[str, Any], at: str) -> str | None:
    wanted = {key: inner for key, inner in pattern.items() if key != "..."}
    if missing := wanted.keys() - got.keys():
        return f"{at} lacks {', '.join(sorted(missing))}"
    if "..." not in pattern and (more := got.keys() - wanted.keys()):
        return f"{at} has {', '.join(sorted(more))} too"
    problems = (match(got[key], inner, found, f"{at}.{key}") for key, inner in wanted.items())
    return next((problem for problem in problems if problem), None)


def _placeholder(got: Any, name: str, found: dict[str, Any], at: str) -> str | None:
    match name:
        case "any":
            return None
        case "moment":
            return None if isinstance(got, str) and _moment.match(got) else f"{at} is not a timestamp: {got!r:.80}"
        case "text":
            return None if isinstance(got, str) and got else f"{at} is not a non-empty string: {got!r:.80}"
        case _ if name.startswith("not:"):
            return None if got != found[name[4:]] else f"{at} is {got!r:.80}, as before"
        case _:
            known = found.setdefault(name, got)
            return None if known == got else f"{at} is {got!r:.80}, and not {known!r:.80} as before"


def _numbered(event: Mapping[str, Any], n: int) -> dict[str, Any]:
    numbered: dict[str, Any] = json.loads(json.dumps(event).replace("$n", str(n)))
    return numbered
