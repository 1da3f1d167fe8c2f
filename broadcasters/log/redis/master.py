"""The scripts, and a master that runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import sha1, sha256
from importlib.resources import files
from typing import Any, Final, Literal, TypeAlias

from broadcasters.errors import LogMisconfigured, LogUnavailable
from broadcasters.log.contract import Durability
from broadcasters.log.redis.link import RedisLink, Word, retrieved
from broadcasters.log.redis.refusals import Refused, meaning
from broadcasters.log.redis.server import meet

__all__ = ["Master", "Script"]

Script: TypeAlias = Literal["append", "read", "keep", "delete"]


def _text(name: str) -> str:
    return files("broadcasters.log.redis").joinpath(f"{name}.lua").read_text("utf-8")


def _sha(text: str) -> str:
    """The name by which Redis knows a script."""
    return sha1(text.encode(), usedforsecurity=False).hexdigest()


_APPEND: Final = _text("append")
_FUNCTION: Final = "plancast_append_" + sha256(_APPEND.encode()).hexdigest()[:12]
"""Named after its text, so that two versions of Plancast can use one server."""
_SCRIPTS: Final[Mapping[Script, str]] = {"read": _text("read"), "keep": _text("keep"), "delete": _text("delete")}
_RIGHTS: Final = _text("rights")

_CALLS: Final[Mapping[Script, tuple[str, str]]] = {
    "append": ("FCALL", _FUNCTION),
    **{script: ("EVALSHA", _sha(text)) for script, text in _SCRIPTS.items()},
}
_LOADS: Final[Mapping[Script, tuple[str, str, str]]] = {
    "append": ("FUNCTION", "LOAD", _APPEND.replace("@NAME@", _FUNCTION)),
    **{script: ("SCRIPT", "LOAD", text) for script, text in _SCRIPTS.items()},
}


class Master:
    """A master we know, which is given our scripts when it lacks them. `await Master.at(link, prefix)`."""

    def __init__(self, link: RedisLink, durability: Durability) -> None:
        self.link = link
        self.durability = durability
        self._loading: dict[Script, asyncio.Task[None]] = {}
        self._confirmation: asyncio.Future[int] | None = None

    @classmethod
    async def at(cls, link: RedisLink, prefix: str) -> Master:
        master = cls(link, await meet(link))
        try:
            await master._check_rights(prefix)
        except Refused as refused:
            raise meaning(refused, f"checking the user's rights at {link.address}") from None
        return master

    async def run(self, script: Script, keys: Sequence[Word], args: Sequence[Word], asking: bool = False) -> Any:
        """What the script answers. `Refused` when it, or Redis, says no.

        `asking`: another master has sent us here. It has none of the keys, so those that are missing here, too, are
        nowhere; but of more than one, Redis would insist that they be here."""
        for _ in range(3):
            try:
                if asking:
                    return await self.link.send_asking(*_CALLS[script], 1, keys[0], *args)
                return await self.link.call(*_CALLS[script], len(keys), *keys, *args)
            except Refused as refused:
                if not _is_missing(refused):
                    raise
            await self._load(script)
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

    async def _load(self, script: Script) -> None:
        """Load it once, however many calls wait for it."""
        loading = self._loading.get(script)
        if loading is None:
            loading = self._loading[script] = asyncio.create_task(self._load_now(script))
            loading.add_done_callback(lambda _: self._loading.pop(script))
            loading.add_done_callback(retrieved)
        await asyncio.shield(loading)

    async def _load_now(self, script: Script) -> None:
        try:
            await self.link.call(*_LOADS[script])
        except Refused as refused:
            if "already exists" not in str(refused):  # another process was first
                raise

    async def _check_rights(self, prefix: str) -> None:
        missing = await self.link.call("EVAL", _RIGHTS, 0, f"{prefix}:{{~}}:", f"{prefix}:index:all")
        if missing:
            lacks = ", ".join(sorted({f"+{name.decode()}" for name in missing}))
            raise LogMisconfigured(
                f"this user of Redis at {self.link.address} needs more rights: {lacks}, on the keys ~{prefix}:* and the"
                f" channels &{prefix}:* (see ACL SETUSER)"
            )


def _is_missing(refused: Refused) -> bool:
    """The server does not have the script; nothing was done."""
    return refused.code == "NOSCRIPT" or str(refused) == "ERR Function not found"
