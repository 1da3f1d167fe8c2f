"""The masters we talk to: one link each, opened when needed, and opened anew when lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

from broadcasters.errors import LogError, LogUnavailable
from broadcasters.log.contract import Durability
from broadcasters.log.redis.link import RedisLink, Word, open_link, retrieved
from broadcasters.log.redis.master import Master, Script
from broadcasters.log.redis.refusals import ELSEWHERE, MISPLACED, Refused, meaning
from broadcasters.log.redis.topology import Topology, pointed_to
from broadcasters.log.redis.url import Address, RedisUrl

__all__ = ["Command", "Masters"]

Command: TypeAlias = tuple[str, str, Sequence[Word]]
"""A command, its key, and whatever else it needs."""

_WEAKEST_FIRST: Final[tuple[Durability, ...]] = ("memory", "second", "disk")
AT_ONCE: Final = 2000
"""Commands in one pipeline."""
HOPS: Final = 2
"""A slot that has moved since we looked may be on the move again."""


class Masters:
    """Runs commands and scripts where their keys are. Errors come out as the contract's."""

    def __init__(self, url: RedisUrl, topology: Topology) -> None:
        self._url = url
        self._topology = topology
        self._masters: dict[Address, Master] = {}
        self._opening: dict[Address, asyncio.Task[Master]] = {}
        self._opened = False

    async def open(self) -> None:
        """Meet them all. One that is away is met later, unless all are."""
        self._opened = True
        addresses = await self._topology.masters()
        met = await asyncio.gather(*(self._at(address) for address in addresses), return_exceptions=True)
        problems = [one for one in met if isinstance(one, BaseException)]
        final = [problem for problem in problems if not isinstance(problem, LogUnavailable)]
        if final or len(problems) == len(met):
            raise (*final, *problems, LogUnavailable("no node of the Redis cluster serves anything yet"))[0]

    async def close(self) -> None:
        self._opened = False
        for task in self._opening.values():
            task.cancel()
        if self._opening:
            await asyncio.wait(self._opening.values())
        for master in self._masters.values():
            await master.link.close()
        self._masters.clear()

    @property
    def durability(self) -> Durability:
        known = {master.durability for master in self._masters.values()}
        for weakest in _WEAKEST_FIRST:
            if weakest in known:
                return weakest
        return "memory"

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Word], replicas: int = 0) -> Any:
        """Run a script on a plan's keys; returns when so many replicas have what it did, too."""

        async def run_at(master: Master, asking: bool) -> Any:
            answer = await master.run(script, keys, args, asking)
            if replicas:  # of this very master: another one would answer for a history of its own
                await master.confirm(replicas)
            return answer

        master = await self._holding(keys[0])
        try:
            return await run_at(master, False)
        except Refused as refused:
            return await self._follow(refused, master, keys[0], run_at)

    async def call(self, command: str, key: str, *words: Word) -> Any:
        """Call one command on its key."""
        return (await self.call_each([(command, key, words)]))[0]

    async def call_each(self, commands: Sequence[Command]) -> Sequence[Any]:
        """Call many commands, each on its key, in one trip to each master. All answers, or the first error."""
        holders = [await self._holding(key) for _, key, _ in commands]
        said: list[Any] = []
        for start in range(0, len(commands), AT_ONCE):
            part = holders[start : start + AT_ONCE]
            for master in set(part):
                await master.link.room()
            calls = zip(part, commands[start : start + AT_ONCE], strict=True)
            sent = [master.link.send(name, key, *words) for master, (name, key, words) in calls]
            said += await asyncio.gather(*sent, return_exceptions=True)
        for at, one in enumerate(said):
            if isinstance(one, Refused):
                said[at] = await self._call_elsewhere(one, holders[at], commands[at])
            elif isinstance(one, BaseException):
                raise one
        return said

    async def _call_elsewhere(self, refused: Refused, master: Master, command: Command) -> Any:
        name, key, words = command

        async def call_at(master: Master, asking: bool) -> Any:
            await master.link.room()
            return await (master.link.send_asking if asking else master.link.send)(name, key, *words)

        return await self._follow(refused, master, key, call_at)

    async def _follow(
        self, refused: Refused, master: Master, key: str, call: Callable[[Master, bool], Awaitable[Any]]
    ) -> Any:
        """Call it where the refusal points, if it does; nothing was done so far, so this is no repetition."""
        for _ in range(HOPS):
            address = pointed_to(refused, master.link.address)
            if address is None:
                break
            if refused.code == "MOVED":
                self._topology.doubt()
            master = await self._alive(address)
            try:
                return await call(master, refused.code == "ASK")
            except Refused as again:
                refused = again
        raise self._heed(refused, master, key) from None

    async def keep_only(self, addresses: Iterable[Address]) -> None:
        """Let go of those that are masters no more."""
        for address in self._masters.keys() - set(addresses):
            await self._masters.pop(address).link.close(f"Redis at {address} is not the master any more")

    # ---- which, and how it is opened

    async def _holding(self, key: str) -> Master:
        if not self._opened:
            raise LogUnavailable("the log is not open")
        return await self._alive(await self._topology.locate(key))

    async def _alive(self, address: Address) -> Master:
        master = self._masters.get(address)
        return master if master is not None and master.link.alive else await self._at(address)

    async def _at(self, address: Address) -> Master:
        """The master there; opened once, however many want it."""
        task = self._opening.get(address)
        if task is None:
            task = self._opening[address] = asyncio.create_task(self._open(address))
            task.add_done_callback(lambda _: self._opening.pop(address, None))
            task.add_done_callback(retrieved)
        return await asyncio.shield(task)

    async def _open(self, address: Address) -> Master:
        link: RedisLink | None = None
        try:
            link = await open_link(address, self._url.user, self._url.tls, db=self._url.db)
            self._masters[address] = master = await Master.at(link, self._url.prefix)
        except BaseException as error:
            self._topology.doubt()
            if link is not None:
                await link.close()
            raise error from None
        link.ended.add_done_callback(lambda _: self._topology.doubt())
        return master

    def _heed(self, refused: Refused, master: Master, key: str) -> LogError:
        """Draw the consequences of a refusal, and say what it means."""
        if refused.code in MISPLACED:
            master.link.end(f"Redis at {master.link.address}: {refused}")
        if refused.code in MISPLACED or refused.code in ELSEWHERE:
            self._topology.doubt()
        return meaning(refused, key)
