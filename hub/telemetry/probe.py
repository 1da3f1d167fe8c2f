"""Proof that this node hears: a word is said in a plan of the hub's own, and must come back through the tail."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from broadcasters.errors import LogError
from broadcasters.events import PlanUpdate
from broadcasters.log.contract import Entry, Facts, PlanLog, Watch
from hub.access.principal import RESERVED

__all__ = ["Probe"]

logger: Final = logging.getLogger(__name__)
PATIENCE: Final = 4.0
FRESH: Final = 1.0
"""An answer this old is repeated to whoever asks, so that asking often costs nothing."""
FORGET_EVERY: Final = 500


class Probe:
    """Watches a plan of its own from `open` to `close`, through the same tail as all others."""

    def __init__(self, log: PlanLog) -> None:
        self._log = log
        self._plan_id = f"{RESERVED}probe.{secrets.token_hex(6)}"
        self._said = 0
        self._heard = asyncio.Event()
        self._expected = b""
        self._watch: Watch | None = None
        self._asking: asyncio.Task[str | None] | None = None
        self._answered = -FRESH

    async def open(self) -> None:
        self._watch = await self._log.watch(self._plan_id, self)

    async def close(self) -> None:
        """Leave nothing behind, as far as the log lets us: without it, what was said there lapses like any plan."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        with suppress(LogError):
            if self._watch is not None:
                await self._watch.close()
            if self._said:
                await self._log.delete(self._plan_id)

    async def problem(self) -> str | None:
        """What keeps words from travelling through the log to this node and back; None: they do."""
        loop = asyncio.get_running_loop()
        if self._asking is None or (self._asking.done() and loop.time() - self._answered > FRESH):
            self._asking = loop.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> str | None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._say()
                await self._heard.wait()
        except TimeoutError:
            return f"what was said did not come back within {PATIENCE:g} s"
        except LogError as error:
            return f"the log did not take it: {error}"
        except Exception as error:
            logger.error("the probe failed: %s", error, exc_info=error)
            return "the probe failed"
        finally:
            self._answered = asyncio.get_running_loop().time()
        return None

    async def _say(self) -> None:
        self._heard.clear()
        self._expected = secrets.token_hex(8).encode()
        self._said += 1
        if self._said % FORGET_EVERY == 0:
            await self._log.delete(self._plan_id)
        entry = Entry(PlanUpdate(plan_id=self._plan_id).payload(self._expected.decode()))
        await self._log.append(self._plan_id, secrets.token_hex(8), 1, [entry], Facts())

    # -- what the tail tells -------------------------------------------------------------------------------------------

    def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:  # noqa: ARG002
        if any(self._expected in payload for payload in payloads):
            self._heard.set()

    def lost(self) -> None:
        """The next question finds out."""

    def resumed(self) -> None:
        """The next question finds out."""

    def deleted(self) -> None:
        """By ourselves, now and then."""
