"""The probe: an event appended to a plan of the hub's own, which must come back through the hub's tail."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from broadcasters.errors import LogError
from broadcasters.events import PlanUpdate
from broadcasters.log.contract import Entry, Facts, PlanLog, Watch
from broadcasters.supervision import Part
from hub.access.principal import RESERVED

__all__ = ["Probe", "failing"]

logger: Final = logging.getLogger(__name__)
PATIENCE: Final = 4.0
FRESH: Final = 1.0
"""Seconds for which a result is reused, so that frequent requests cost nothing."""
DELETE_EVERY: Final = 500
"""Probes after which the plan is deleted, so that its log stays small."""


def failing(parts: Mapping[str, Part]) -> str | None:
    """Why these parts keep a process from working; None if each of them works."""
    down = [name for name, part in parts.items() if part.down]
    return f"failing and being retried: {', '.join(down)}" if down else None


class Probe:
    """Watches its own plan from `open` to `close`, through the same tail as all other plans."""

    def __init__(self, log: PlanLog) -> None:
        self._log = log
        self._plan_id = f"{RESERVED}probe.{secrets.token_hex(6)}"
        self._count = 0
        self._received = asyncio.Event()
        self._expected = b""
        self._watch: Watch | None = None
        self._running: asyncio.Task[str | None] | None = None
        self._finished = -FRESH

    async def open(self) -> None:
        self._watch = await self._log.watch(self._plan_id, self)

    async def close(self) -> None:
        """Delete the plan, if the log can be reached; otherwise it expires like any plan."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        with suppress(LogError):
            if self._watch is not None:
                await self._watch.close()
            if self._count:
                await self._log.delete(self._plan_id)

    async def problem(self) -> str | None:
        """Why events don't travel through the log and back to this node; None if they do."""
        loop = asyncio.get_running_loop()
        if self._running is None or (self._running.done() and loop.time() - self._finished > FRESH):
            self._running = loop.create_task(self._probe())
        return await asyncio.shield(self._running)

    async def _probe(self) -> str | None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._append()
                await self._received.wait()
        except TimeoutError:
            return f"a probe event was not received back from the log within {PATIENCE:g} s"
        except LogError as error:
            return f"the log did not accept a probe event: {error}"
        except Exception as error:
            logger.error("the probe failed unexpectedly: %s", error, exc_info=error)
            return "the probe failed unexpectedly; see the log of this process"
        finally:
            self._finished = asyncio.get_running_loop().time()
        return None

    async def _append(self) -> None:
        self._received.clear()
        self._expected = secrets.token_hex(8).encode()
        self._count += 1
        if self._count % DELETE_EVERY == 0:
            await self._log.delete(self._plan_id)
        entry = Entry(PlanUpdate(plan_id=self._plan_id).payload(self._expected.decode()))
        await self._log.append(self._plan_id, secrets.token_hex(8), 1, [entry], Facts())

    # -- called by the tail --------------------------------------------------------------------------------------------

    def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:  # noqa: ARG002
        if any(self._expected in payload for payload in payloads):
            self._received.set()

    def lost(self) -> None:
        """The next probe reports it."""

    def resumed(self) -> None:
        """The next probe reports it."""

    def deleted(self) -> None:
        """The probe deletes its own plan regularly."""
