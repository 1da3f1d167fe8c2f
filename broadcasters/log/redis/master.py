"""A master: appends go through its pipelined link, everything else through a `redis` client."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import sha1, sha256
from importlib.resources import files
from typing import Any, Final, Literal, TypeAlias

from redis.exceptions import NoScriptError, ResponseError

from broadcasters.errors import LogMisconfigured, LogUnavailable
from broadcasters.log.contract import Durability
from broadcasters.log.redis.clients import Call, Clients
from broadcasters.log.redis.link import Argument, RedisLink, retrieved
from broadcasters.log.redis.opening import open_link
from broadcasters.log.redis.refusals import as_log_error, text_of
from broadcasters.log.redis.url import Address

__all__ = ["Master", "Script"]

Script: TypeAlias = Literal["read", "keep", "delete"]

_FSYNC: Final[Mapping[str, Durability]] = {"always": "disk", "everysec": "second"}
TRIES: Final = 3


def _text(name: str) -> str:
    return files("broadcasters.log.redis").joinpath(f"{name}.lua").read_text("utf-8")


_APPEND: Final = _text("append")
_FUNCTION: Final = "plancast_append_" + sha256(_APPEND.encode()).hexdigest()[:12]
"""Named after its text, so that two versions of Plancast can use one server."""
_SCRIPTS: Final[Mapping[Script, str]] = {"read": _text("read"), "keep": _text("keep"), "delete": _text("delete")}
_RIGHTS: Final = _text("rights")

_LOAD_FUNCTION: Final = ("FUNCTION", "LOAD", _APPEND.replace("@NAME@", _FUNCTION))
_SHAS: Final = {name: sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in _SCRIPTS.items()}


class Master(RedisLink):
    """Used as long as its link is alive; `await Master.at(address, clients, prefix)`."""

    def __init__(self, address: Address, clients: Clients) -> None:
        super().__init__(str(address))
        self.address = address
        self.durability: Durability = "memory"
        self._clients = clients
        self._loading: asyncio.Task[None] | None = None
        self._confirmation: asyncio.Future[int] | None = None

    @classmethod
    async def at(cls, address: Address, clients: Clients, prefix: str) -> Master:
        master = cls(address, clients)
        info = await open_link(master, clients, address)
        try:
            await clients.reconnect(address)  # what ended the link before may have ended them, unnoticed as yet
            await master._check_rights(prefix)
            master.durability = await master._durability(info)
        except BaseException:
            await master.close()
            raise
        return master

    # `asking`, below: another master redirected us here. It has none of the keys, so those that are missing here exist
    # nowhere; but if more than one were named, Redis would insist on finding them here.

    async def append(self, keys: Sequence[str], args: Sequence[Argument], asking: bool = False) -> Any:
        """What the function that appends returns. Raises the error that it, or Redis, replied."""
        for _ in range(TRIES):
            try:
                if asking:
                    self.send("ASKING").add_done_callback(retrieved)
                    return await self.send("FCALL", _FUNCTION, 1, keys[0], *args)
                return await self.call("FCALL", _FUNCTION, len(keys), *keys, *args)
            except ResponseError as error:
                if text_of(error) != "ERR Function not found":
                    raise
            await self._load_function()
        raise self._drops_scripts()

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Argument], asking: bool = False) -> Any:
        """What the script returns. Raises the error that it, or Redis, replied."""
        named = keys[:1] if asking else keys
        for _ in range(TRIES):
            reply = await self.ask("EVALSHA", _SHAS[script], len(named), *named, *args, asking=asking)
            if not isinstance(reply, NoScriptError):
                return _raised(reply)
            _raised(await self.ask("SCRIPT", "LOAD", _SCRIPTS[script]))
        raise self._drops_scripts()

    async def ask(self, *call: Argument, asking: bool = False) -> Any:
        """Redis' reply to a command that is not hot. An error is returned."""
        return (await self.ask_each([("ASKING",), call] if asking else [call]))[-1]

    async def ask_each(self, calls: Sequence[Call]) -> list[Any]:
        if self.ended.done():
            raise LogUnavailable(self.ended.result())
        return await self._clients.ask(self.address, calls)

    async def confirm(self, replicas: int, patience_ms: int = 1000) -> None:
        """Wait until so many replicas have what this link appended; asked once for all callers of one turn."""
        if self._confirmation is None:
            self._confirmation = self.send("WAIT", replicas, patience_ms)
            asyncio.get_running_loop().call_soon(self._confirm_next)
        count = await asyncio.shield(self._confirmation)
        if count < replicas:
            raise LogUnavailable(f"stored, but only {count} of {replicas} replicas confirmed it in time")

    def _confirm_next(self) -> None:
        self._confirmation = None

    async def _load_function(self) -> None:
        """Load it once, however many appends wait for it."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_now())
            self._loading.add_done_callback(self._loaded)
        await asyncio.shield(self._loading)

    async def _load_now(self) -> None:
        reply = await self.ask(*_LOAD_FUNCTION)
        if "already exists" not in str(reply):  # another process was first
            _raised(reply)

    def _loaded(self, loading: asyncio.Task[None]) -> None:
        self._loading = None
        retrieved(loading)

    def _drops_scripts(self) -> LogUnavailable:
        return LogUnavailable(f"Redis at {self.name} keeps dropping the scripts that were loaded into it")

    async def _check_rights(self, prefix: str) -> None:
        missing = await self.ask("EVAL", _RIGHTS, 0, f"{prefix}:{{~}}:", f"{prefix}:index:all")
        if isinstance(missing, Exception):
            raise as_log_error(missing, f"checking the user's rights at {self.name}")
        if missing:
            lacks = ", ".join(sorted({f"+{name.decode()}" for name in missing}))
            raise LogMisconfigured(
                f"this user of Redis at {self.name} needs more rights: {lacks}, on the keys ~{prefix}:* and the"
                f" channels &{prefix}:* (see ACL SETUSER)"
            )

    async def _durability(self, info: Mapping[str, str]) -> Durability:
        """How safely the server stores what it acknowledges."""
        if info["aof_enabled"] != "1":
            return "memory"
        reply = await self.ask("CONFIG", "GET", "appendfsync")
        if isinstance(reply, Exception):
            return "second"  # the server's default, if we may not read it
        return _FSYNC.get(reply[b"appendfsync"].decode(), "memory")


def _raised(reply: Any) -> Any:
    if isinstance(reply, Exception):
        raise reply
    return reply
