"""The masters that hold the plans: which one holds a key, a link to each, and what a redirection or a refusal changes."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final, TypeAlias

from redis.exceptions import AskError, MovedError, RedisError

from broadcasters.errors import LogError, LogUnavailable
from broadcasters.log.contract import Durability
from broadcasters.log.redis.clients import Clients
from broadcasters.log.redis.link import Argument, retrieved
from broadcasters.log.redis.master import Master, Script
from broadcasters.log.redis.refusals import ELSEWHERE, MISPLACED, as_log_error, code_of, text_of
from broadcasters.log.redis.url import Address

__all__ = ["Command", "Masters", "pointed_to"]

Command: TypeAlias = tuple[str, str, Sequence[Argument]]
"""A command, its key, and its other arguments."""
CallAt: TypeAlias = Callable[[Master, bool], Awaitable[Any]]
"""Calls a master; True: after ASKING."""

_WEAKEST_FIRST: Final[tuple[Durability, ...]] = ("memory", "second", "disk")
PAUSE: Final = 0.05
"""Seconds between two questions about where plans are held."""
HOPS: Final = 2
"""Redirections to follow: a slot that has moved since we asked may be moving again."""


class Masters(ABC):
    """`open` it, call it, `close` it. Errors are the contract's.

    Where plans are held is asked when it is not known, or in doubt; once for all callers, and at most once a PAUSE.
    """

    fixed = False
    """There is nothing to ask: the master never changes."""

    def __init__(self, clients: Clients, prefix: str) -> None:
        self.clients = clients
        self._prefix = prefix
        self._masters: dict[Address, Master] = {}
        self._opening: dict[Address, asyncio.Task[Master]] = {}
        self._opened = False
        self._doubted = True
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = -math.inf
        self._problem: LogError | None = None

    async def open(self) -> None:
        """Connect to every master. One that is unavailable is tried again later, unless all are."""
        self._opened = True
        addresses = await self.addresses()
        opened = await asyncio.gather(*(self._at(address) for address in addresses), return_exceptions=True)
        problems = [one for one in opened if isinstance(one, BaseException)]
        final = [problem for problem in problems if not isinstance(problem, LogUnavailable)]
        if final or len(problems) == len(opened):
            raise (*final, *problems, LogUnavailable("no node of the Redis cluster serves any slot yet"))[0]

    async def close(self) -> None:
        self._opened = False
        tasks = [*self._opening.values(), *([self._asking] if self._asking else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for master in self._masters.values():
            await master.close()
        self._masters.clear()
        await self.clients.close()

    @property
    def durability(self) -> Durability:
        known = {master.durability for master in self._masters.values()}
        for weakest in _WEAKEST_FIRST:
            if weakest in known:
                return weakest
        return "memory"

    # ---- calls

    async def append(self, keys: Sequence[str], args: Sequence[Argument], replicas: int = 0) -> Any:
        """Append to a plan; returns when so many replicas have it, too."""

        async def append_at(master: Master, asking: bool) -> Any:
            reply = await master.append(keys, args, asking)
            if replicas:  # of this very master: another one would confirm a history of its own
                await master.confirm(replicas)
            return reply

        return await self._call(keys[0], append_at)

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run a script on a plan's keys."""
        return await self._call(keys[0], lambda master, asking: master.run(script, keys, args, asking))

    async def call(self, command: str, key: str, *args: Argument) -> Any:
        """Call one command on its key."""
        return (await self.call_each([(command, key, args)]))[0]

    async def call_each(self, commands: Sequence[Command]) -> Sequence[Any]:
        """Call many commands, each on its key, in one trip to each master. All replies, or the first error."""
        holders: dict[Master, list[int]] = defaultdict(list)
        for at, (_, key, _) in enumerate(commands):
            holders[await self._holding(key)].append(at)
        trips = (master.ask_each([_wire(commands[at]) for at in ats]) for master, ats in holders.items())
        replies: dict[int, Any] = {}
        for (master, ats), trip in zip(holders.items(), await asyncio.gather(*trips), strict=True):
            for at, reply in zip(ats, trip, strict=True):
                failed = isinstance(reply, RedisError)
                replies[at] = await self._call_elsewhere(reply, master, commands[at]) if failed else reply
        return [replies[at] for at in range(len(commands))]

    async def _call_elsewhere(self, error: RedisError, master: Master, command: Command) -> Any:
        async def call_at(master: Master, asking: bool) -> Any:
            reply = await master.ask(*_wire(command), asking=asking)
            if isinstance(reply, Exception):
                raise reply
            return reply

        return await self._follow(error, master, command[1], call_at)

    async def _call(self, key: str, call: CallAt) -> Any:
        master = await self._holding(key)
        try:
            return await call(master, False)
        except RedisError as error:
            return await self._follow(error, master, key, call)

    async def _follow(self, error: RedisError, master: Master, key: str, call: CallAt) -> Any:
        """Call where the error redirects to, if it does. Nothing was done so far, so this repeats nothing."""
        for _ in range(HOPS):
            address = pointed_to(error, master.address)
            if address is None:
                break
            moved = isinstance(error, MovedError)
            if moved:
                self.doubt()
            master = await self._alive(self.remapped(address))
            try:
                return await call(master, not moved)
            except RedisError as again:
                error = again
        raise self._heed(error, master, key) from None

    def _heed(self, error: RedisError, master: Master, key: str) -> LogError:
        """Draw the consequences of an error, and return the contract's."""
        code = code_of(error)
        if code in MISPLACED:
            master.end(f"Redis at {master.name}: {text_of(error)}")
        if code in MISPLACED or code in ELSEWHERE:
            self.doubt()
        return as_log_error(error, key, rotating=self.clients.rotating)

    # ---- links

    async def keep_only(self, addresses: Collection[Address]) -> None:
        """Close the links to servers that are masters no more."""
        for address in self._masters.keys() - set(addresses):
            await self._masters.pop(address).close(f"Redis at {address} is not the master any more")

    async def _holding(self, key: str) -> Master:
        if not self._opened:
            raise LogUnavailable("the log is not open")
        return await self._alive(await self.locate(key))

    async def _alive(self, address: Address) -> Master:
        master = self._masters.get(address)
        return master if master is not None and master.alive else await self._at(address)

    async def _at(self, address: Address) -> Master:
        """The master there; opened once for all callers."""
        task = self._opening.get(address)
        if task is None:
            task = self._opening[address] = asyncio.create_task(self._open(address))
            task.add_done_callback(lambda _: self._opening.pop(address, None))
            task.add_done_callback(retrieved)
        return await asyncio.shield(task)

    async def _open(self, address: Address) -> Master:
        try:
            master = await Master.at(address, self.clients, self._prefix)
        except BaseException:
            self.doubt()
            raise
        self._masters[address] = master
        master.ended.add_done_callback(lambda _: self.doubt())
        return master

    # ---- where plans are held

    async def locate(self, key: str) -> Address:
        """The master that holds this key, as far as is known."""
        await self._be_sure()
        return self._holder(key)

    async def addresses(self) -> Collection[Address]:
        """Of all masters."""
        await self._be_sure()
        return self._addresses()

    def doubt(self) -> None:
        """Ask again before the next answer."""
        self._doubted = not self.fixed

    async def refresh(self) -> None:
        """Ask now. If no server answers, what was known stays known."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_and_believe())
            self._asking.add_done_callback(retrieved)
        await asyncio.shield(self._asking)

    async def _be_sure(self) -> None:
        if not self._doubted:
            return
        if asyncio.get_running_loop().time() - self._asked_at >= PAUSE:
            await self.refresh()
        elif self._problem is not None:
            raise self._problem

    async def _ask_and_believe(self) -> None:
        try:
            await self._ask()
            self._doubted, self._problem = False, None
        except Exception as error:
            self._problem = as_log_error(error, "asking where plans are held")
            raise self._problem from None
        finally:
            self._asked_at = asyncio.get_running_loop().time()

    def remapped(self, address: Address) -> Address:
        """The address at which we reach a server that is known to the others by this one."""
        return address

    @abstractmethod
    async def _ask(self) -> None: ...

    @abstractmethod
    def _holder(self, key: str) -> Address: ...

    @abstractmethod
    def _addresses(self) -> Collection[Address]: ...


def _wire(command: Command) -> tuple[Argument, ...]:
    name, key, args = command
    return (name, key, *args)


def pointed_to(error: RedisError, asked: Address) -> Address | None:
    """Where an error redirects to: the slot's holder (MOVED), or the node that is taking the slot over (ASK)."""
    if not isinstance(error, AskError):  # which a MovedError is, too
        return None
    host = str(error.host)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    return Address(asked.host if host in ("", "?") else host, error.port)
