"""The scripts, and a master that has them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, Final, Literal, TypeAlias

from broadcasters.errors import LogMisconfigured, LogUnavailable
from broadcasters.log.redis.link import RedisLink, Word, retrieved
from broadcasters.log.redis.refusals import Refused, meaning
from broadcasters.log.redis.server import Server, identity_in, meet

__all__ = ["Master", "Script"]

Script: TypeAlias = Literal["append", "read", "keep", "delete"]

_SCRIPTS: Final[tuple[Script, ...]] = ("append", "read", "keep", "delete")
_TEXTS: Final[Mapping[str, str]] = {
    name: files("broadcasters.log.redis").joinpath(f"{name}.lua").read_text("utf-8") for name in (*_SCRIPTS, "rights")
}
_FORGOTTEN: Final = frozenset({"NOSCRIPT", "NOTME"})
"""Refusals that come before a script has done anything: it isn't there, or was made for another server."""


class Master:
    """A master we know, with our scripts in it. `await Master.at(link, prefix)`."""

    def __init__(self, link: RedisLink, server: Server) -> None:
        self.link = link
        self.durability = server.durability
        self._identity = server.identity
        self._shas: Mapping[Script, str] = {}
        self._preparing: asyncio.Task[None] | None = None
        self._confirmation: asyncio.Future[int] | None = None

    @classmethod
    async def at(cls, link: RedisLink, prefix: str) -> Master:
        master = cls(link, await meet(link))
        try:
            await master._load()
            await master._check_rights(prefix)
        except Refused as refused:
            raise meaning(refused, f"loading the scripts at {link.address}") from None
        return master

    async def run(self, script: Script, keys: Sequence[Word], args: Sequence[Word], asking: bool = False) -> Any:
        """What the script answers. `Refused` when it, or Redis, says no.

        `asking`: another master has sent us here. It has none of the keys, so those that are missing here, too, are
        nowhere; but of more than one, Redis would insist that they be here."""
        for _ in range(3):
            try:
                if asking:
                    return await self.link.send_asking("EVALSHA", self._shas[script], 1, keys[0], *args)
                return await self.link.call("EVALSHA", self._shas[script], len(keys), *keys, *args)
            except Refused as refused:
                if refused.code not in _FORGOTTEN:
                    raise
            await self._prepare()
        raise LogUnavailable(f"Redis at {self.link.address} keeps forgetting its scripts")

    async def confirm(self, replicas: int, patience_ms: int = 1000) -> None:
        """Wait until so many replicas have what was stored before; asked once for all who ask in one turn."""
        if self._confirmation is None:
            self._confirmation = self.link.send("WAIT", replicas, patience_ms)
            asyncio.get_running_loop().call_soon(self._confirm_anew)
        count = await asyncio.shield(self._confirmation)
        if count < replicas:
            raise LogUnavailable(f"stored, but only {count} of {replicas} replicas confirmed it in time")

    def _confirm_anew(self) -> None:
        self._confirmation = None

    async def _prepare(self) -> None:
        """Ask anew who the server is, and load the scripts for it; once, whoever asks meanwhile."""
        if self._preparing is None or self._preparing.done():
            self._preparing = asyncio.create_task(self._identify_and_load())
            self._preparing.add_done_callback(retrieved)
        await asyncio.shield(self._preparing)

    async def _identify_and_load(self) -> None:
        self._identity = identity_in(await self.link.call("INFO", "server", "replication"))
        await self._load()

    async def _load(self) -> None:
        texts = [_TEXTS[name].replace("@IDENTITY@", self._identity) for name in _SCRIPTS]
        shas = await asyncio.gather(*(self.link.send("SCRIPT", "LOAD", text) for text in texts))
        self._shas = dict(zip(_SCRIPTS, shas, strict=True))

    async def _check_rights(self, prefix: str) -> None:
        missing = await self.link.call("EVAL", _TEXTS["rights"], 0, f"{prefix}:{{~}}:", f"{prefix}:index:all")
        if missing:
            lacks = ", ".join(sorted({f"+{name.decode()}" for name in missing}))
            raise LogMisconfigured(
                f"this user of Redis at {self.link.address} needs more rights: {lacks}, on the keys ~{prefix}:* and the"
                f" channels &{prefix}:* (see ACL SETUSER)"
            )
