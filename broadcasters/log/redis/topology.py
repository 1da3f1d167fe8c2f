"""Which master holds what: always the same one, whoever Sentinel says, or whoever owns the slot in a Cluster."""

from __future__ import annotations

import asyncio
import math
import random
from abc import ABC, abstractmethod
from binascii import crc_hqx
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from broadcasters.errors import LogError, LogMisconfigured, LogUnavailable
from broadcasters.log.redis.link import RedisLink, Word, open_link, retrieved
from broadcasters.log.redis.refusals import Refused, as_log_error, meaning
from broadcasters.log.redis.url import Address, RedisUrl, Tls, User

__all__ = ["Cluster", "Sentinels", "Single", "Topology", "pointed_to", "slot_of", "topology_of"]

SLOTS: Final = 16_384
ANSWER_PATIENCE: Final = 2.0
PAUSE: Final = 0.05
VIEWS: Final = 3
"""How many nodes of a Cluster are asked for its shape at a time: one alone may be cut off and not know it."""


def slot_of(key: str) -> int:
    """The Cluster's slot of a key: that of what stands in its first braces, if anything does."""
    start = key.find("{")
    end = key.find("}", start + 1) if start >= 0 else -1
    tag = key[start + 1 : end] if end > start + 1 else key
    return crc_hqx(tag.encode(), 0) % SLOTS


def pointed_to(refused: Refused, asked: Address) -> Address | None:
    """Where a refusal points: to who has the slot by now (MOVED), or is taking it over (ASK)."""
    if refused.code not in ("MOVED", "ASK"):
        return None
    host, _, port = str(refused).rpartition(" ")[2].rpartition(":")
    return Address(asked.host if host in ("", "?") else host, int(port))


def topology_of(url: RedisUrl) -> Topology:
    match url.kind:
        case "single":
            return Single(url.addresses[0])
        case "sentinel":
            return Sentinels(url.addresses, url.service, _Enquiries(url.sentinel_user, url.tls))
        case "cluster":
            return Cluster(url.addresses, _Enquiries(url.user, url.tls))


class Topology(ABC):
    """Asks when it knows nothing, or has reason to doubt what it knows; once, however many want to know, and not again
    within PAUSE, however much they doubt."""

    fixed = False
    """True: there is nothing to ask; masters never change."""

    def __init__(self) -> None:
        self._doubted = True
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = -math.inf
        self._problem: LogError | None = None

    async def locate(self, key: str) -> Address:
        """The master that holds this key, as far as is known."""
        await self._be_sure()
        return self._holder(key)

    async def masters(self) -> Collection[Address]:
        await self._be_sure()
        return self._masters()

    def doubt(self) -> None:
        """Something happened that makes it worth asking again before the next answer."""
        self._doubted = not self.fixed

    async def refresh(self) -> None:
        """Ask now. When nobody answers, what was known stays known."""
        if self.fixed:
            self._doubted = False
            return
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_and_believe())
            self._asking.add_done_callback(retrieved)
        await asyncio.shield(self._asking)

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

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
        except LogError as problem:
            self._problem = problem
            raise
        except Exception as error:
            self._problem = as_log_error(error, "asking where plans are kept")
            raise self._problem from error
        finally:
            self._asked_at = asyncio.get_running_loop().time()

    @abstractmethod
    async def _ask(self) -> None: ...

    @abstractmethod
    def _holder(self, key: str) -> Address: ...

    @abstractmethod
    def _masters(self) -> Collection[Address]: ...


class Single(Topology):
    """One server."""

    fixed = True

    def __init__(self, address: Address) -> None:
        super().__init__()
        self._address = address

    async def _ask(self) -> None:
        return

    def _holder(self, key: str) -> Address:  # noqa: ARG002 - it holds all keys
        return self._address

    def _masters(self) -> Collection[Address]:
        return (self._address,)


class Sentinels(Topology):
    """One master at a time; most Sentinels know which. (A Sentinel that is cut off may still name the old one.)"""

    def __init__(self, addresses: Sequence[Address], service: str, enquiries: _Enquiries) -> None:
        super().__init__()
        self._addresses = addresses
        self._service = service
        self._enquiries = enquiries
        self._address: Address | None = None

    async def close(self) -> None:
        await super().close()
        await self._enquiries.close()

    async def _ask(self) -> None:
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
        answers = await self._enquiries.ask_all(self._addresses, question)
        named = Counter(
            Address(host.decode(), int(port)) for (pair,) in answers.values() if pair for host, port in [pair]
        )
        if not named:
            raise LogMisconfigured(f"no Sentinel knows a master called {self._service!r}")
        self._address = named.most_common(1)[0][0]

    def _holder(self, key: str) -> Address:  # noqa: ARG002 - it holds all keys
        assert self._address is not None  # noqa: S101 - asked before
        return self._address

    def _masters(self) -> Collection[Address]:
        return () if self._address is None else (self._address,)


class Cluster(Topology):
    """Each slot's master, as told by the node that knows of the latest election."""

    def __init__(self, seeds: Sequence[Address], enquiries: _Enquiries) -> None:
        super().__init__()
        self._seeds = seeds
        self._enquiries = enquiries
        self._slots: list[Address | None] = []
        self._nodes: frozenset[Address] = frozenset()

    async def close(self) -> None:
        await super().close()
        await self._enquiries.close()

    async def _ask(self) -> None:
        known = [*self._nodes]
        random.shuffle(known)
        try:
            views = await self._views(known[:VIEWS] or self._seeds)
        except LogUnavailable:
            views = await self._views({*known, *self._seeds})
        asked, (_, _, ranges) = max(views.items(), key=lambda view: view[1][:2])
        self._learn(asked, ranges)
        await self._enquiries.keep_only({*self._nodes, *self._seeds})

    async def _views(self, addresses: Collection[Address]) -> Mapping[Address, tuple[bool, int, Any]]:
        answers = await self._enquiries.ask_all(addresses, ("CLUSTER", "INFO"), ("CLUSTER", "SLOTS"))
        return {address: (*_state(info), ranges) for address, (info, ranges) in answers.items()}

    def _learn(self, asked: Address, ranges: Any) -> None:
        slots: list[Address | None] = [None] * SLOTS
        nodes: set[Address] = set()
        for first, last, *servers in ranges:
            at = [Address(_host(server[0]) or asked.host, int(server[1])) for server in servers]
            slots[first : last + 1] = [at[0]] * (last + 1 - first)
            nodes.update(at)
        self._slots, self._nodes = slots, frozenset(nodes)

    def _holder(self, key: str) -> Address:
        address = self._slots[slot_of(key)]
        if address is None:
            self.doubt()
            raise LogUnavailable(f"no node of the Redis cluster serves slot {slot_of(key)} at the moment")
        return address

    def _masters(self) -> Collection[Address]:
        return {address for address in self._slots if address is not None}


def _state(info: bytes) -> tuple[bool, int]:
    facts = {name: value for name, _, value in (line.partition(b":") for line in info.split(b"\r\n"))}
    return facts.get(b"cluster_state") == b"ok", int(facts.get(b"cluster_current_epoch", 0))


def _host(name: bytes | None) -> str:
    return "" if name in (None, b"?") else name.decode()


class _Enquiries:
    """Plain links to those who know the shape of things; each kept as long as it answers."""

    def __init__(self, user: User, tls: Tls | None) -> None:
        self._user = user
        self._tls = tls
        self._links: dict[Address, RedisLink] = {}

    async def ask_all(
        self, addresses: Collection[Address], *questions: Sequence[Word]
    ) -> Mapping[Address, Sequence[Any]]:
        """The answers of those who gave any. Raises what the first one said when nobody did."""
        asked = await asyncio.gather(*(self._ask(address, questions) for address in addresses), return_exceptions=True)
        answers = {address: said for address, said in zip(addresses, asked, strict=True) if isinstance(said, list)}
        if not answers:
            for said in asked:
                if isinstance(said, BaseException):
                    raise said
        return answers

    async def keep_only(self, addresses: Collection[Address]) -> None:
        for address in self._links.keys() - addresses:
            await self._links.pop(address).close()

    async def close(self) -> None:
        await self.keep_only(())

    async def _ask(self, address: Address, questions: Sequence[Sequence[Word]]) -> list[Any]:
        try:
            async with asyncio.timeout(ANSWER_PATIENCE):
                link = await self._link(address)
                return list(await asyncio.gather(*(link.send(*question) for question in questions)))
        except Refused as refused:
            raise meaning(refused, f"asking {address} where plans are kept") from None
        except TimeoutError:
            if address in self._links:
                await self._links.pop(address).close()
            raise LogUnavailable(f"{address} did not say where plans are kept") from None

    async def _link(self, address: Address) -> RedisLink:
        link = self._links.get(address)
        if link is None or not link.alive:
            link = self._links[address] = await open_link(address, self._user, self._tls)
        return link
