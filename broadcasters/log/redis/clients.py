"""Clients of `redis.asyncio`, one for each server, all configured alike: they open every connection of the log.

What is not hot (index, lists, reads, checkpoints, scripts, questions to Sentinels) goes through them. A call is one trip;
the calls that come while it is under way go out together as the next, so one connection a server is enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias
from weakref import WeakSet

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.driver_info import DriverInfo
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from broadcasters.errors import LogUnavailable
from broadcasters.log.redis.link import Argument, RedisLink, retrieved
from broadcasters.log.redis.refusals import as_log_error
from broadcasters.log.redis.url import Address, Tls, User

__all__ = ["Call", "Clients"]

ANSWER_S: Final = 4.0
"""Seconds a server has for a reply, unless the client was configured otherwise."""
MOST: Final = 500
"""Commands after which the next ones wait for another trip."""

Call: TypeAlias = Sequence[Argument]

_NOT_OURS: Final = frozenset(
    {
        *("connection_class", "connection_pool", "max_connections", "event_dispatcher", "himport_registry"),
        *("encoder_class", "parser_class", "response_callbacks", "retry_on_timeout"),
        *("maint_notifications_pool_handler", "oss_cluster_maint_notifications_handler", "maintenance_state"),
        *("maintenance_notification_hash", "orig_host_address", "orig_socket_timeout", "orig_socket_connect_timeout"),
    }
)
"""Options of a pool's connections that belong to that pool, or to how its owner reads replies."""


class Clients:
    """`connection_class` and `options` are those of a `redis.asyncio` connection pool. Made outside of any event loop, used
    in one."""

    def __init__(self, connection_class: type[AbstractConnection], options: Mapping[str, Any]) -> None:
        self._class: Any = connection_class
        self._options: dict[str, Any] = {
            **{name: value for name, value in options.items() if name not in _NOT_OURS},
            "protocol": 3,
            "encoding": "utf-8",
            "encoding_errors": "strict",
            "decode_responses": False,
            "health_check_interval": 0,  # links have a watchdog, and pools notice closed connections
            "socket_timeout": options.get("socket_timeout") or ANSWER_S,
            # The log never repeats a write by itself: its callers do, in a way that stores it once.
            "retry": Retry(NoBackoff(), 0),
            "retry_on_error": [],
        }
        self._clients: dict[Address, _Client] = {}
        self._provider: CredentialProvider | None = options.get("credential_provider")
        self._credentials: tuple[str, ...] = ()
        self.links: WeakSet[RedisLink] = WeakSet()
        """Those opened with our connections."""

    @classmethod
    def of_url(cls, user: User, tls: Tls | None, db: int = 0) -> Clients:
        options = {
            "username": user.name,
            "password": user.password,
            "db": db,
            "redis_connect_func": _log_in,
            "driver_info": DriverInfo().add_upstream_driver("plancast", "0"),
        }
        if tls is None:
            return cls(Connection, options)
        return cls(_TlsConnection, {**options, "tls": tls})

    @property
    def rotating(self) -> bool:
        """A credential provider supplies the password."""
        return self._provider is not None

    def connection(self, address: Address) -> AbstractConnection:
        """A connection of its own for a link, not yet open."""
        # A link that a server under maintenance ends is opened again, so it need not be warned.
        options = {**self._at(address), "maint_notifications_config": MaintNotificationsConfig(enabled=False)}
        if options.get("redis_connect_func") is _log_in:
            del options["redis_connect_func"]  # the link gives its name together with its first call
        connection: AbstractConnection = self._class(**options)
        return connection

    async def ask(self, address: Address, calls: Sequence[Call]) -> list[Any]:
        """Redis' replies, errors among them; raises a `LogError` when there are none."""
        client = self._clients.get(address)
        if client is None:
            pool = ConnectionPool(self._class, **self._at(address))
            client = self._clients[address] = _Client(f"Redis at {address}", pool, self.rotating)
        return await client.ask(calls)

    async def reconnect(self, address: Address) -> None:
        """Use no connection to this server that is open now, except for a trip that is under way."""
        if client := self._clients.get(address):
            await client.reconnect()

    async def keep_only(self, addresses: Collection[Address]) -> None:
        for address in self._clients.keys() - set(addresses):
            await self._clients.pop(address).close()

    async def close(self) -> None:
        await self.keep_only(())

    async def follow_credentials(self) -> None:
        """Log in again, wherever we are logged in, if the provider has new credentials.

        It is asked, whether or not it is a streaming one: that has one listener, which is the caller's client."""
        credentials = await self._provided()
        if credentials == self._credentials:
            return
        self._credentials = credentials
        for link in self.links:
            link.log_in(credentials)
        for client in list(self._clients.values()):
            await client.reconnect()

    async def _provided(self) -> tuple[str, ...]:
        if self._provider is None:
            return ()
        if type(self._provider).get_credentials_async is CredentialProvider.get_credentials_async:
            return tuple(await asyncio.to_thread(self._provider.get_credentials))
        return tuple(await self._provider.get_credentials_async())

    def _at(self, address: Address) -> dict[str, Any]:
        if "path" in self._options:  # a Unix socket
            return self._options
        return {**self._options, "host": address.host, "port": address.port}


class _TlsConnection(SSLConnection):
    """TLS as the URL configures it: with `ca`, no other authority is trusted."""

    def __init__(self, *, tls: Tls, **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType]
        self.ssl_context.context = tls.context()


async def _log_in(connection: AbstractConnection) -> None:
    await connection.on_connect()
    await connection.send_command("CLIENT", "SETNAME", "plancast")
    with suppress(ResponseError):  # a user without this right does without a name
        await connection.read_response()


class _Client:
    """One server's client: one trip at a time, and the calls that come meanwhile make up the next."""

    def __init__(self, about: str, pool: ConnectionPool, rotating: bool) -> None:
        self._about, self._rotating = about, rotating
        self._pool = pool
        self._redis: Any = Redis(connection_pool=pool)
        self._under_way = asyncio.Lock()
        self._trips: dict[asyncio.Task[list[Any]], list[Call]] = {}
        self._next: asyncio.Task[list[Any]] | None = None

    async def ask(self, calls: Sequence[Call]) -> list[Any]:
        trip = self._next
        if trip is None or len(self._trips[trip]) >= MOST:
            trip = self._next = asyncio.create_task(self._send())
            trip.add_done_callback(retrieved)
            self._trips[trip] = []
        first = len(self._trips[trip])
        self._trips[trip] += calls
        await asyncio.wait([trip])
        if trip.cancelled():
            raise LogUnavailable("the log was closed")
        return trip.result()[first : first + len(calls)]

    async def _send(self) -> list[Any]:
        this = asyncio.current_task()
        assert this is not None  # noqa: S101 - it is one
        try:
            async with self._under_way:
                if self._next is this:
                    self._next = None
                pipeline = self._redis.pipeline(transaction=False)
                for call in self._trips[this]:
                    pipeline.execute_command(*call)
                replies: list[Any] = await pipeline.execute(raise_on_error=False)
                return replies
        except (RedisError, OSError) as error:
            raise as_log_error(error, self._about, rotating=self._rotating) from None
        finally:
            del self._trips[this]

    async def reconnect(self) -> None:
        """Close idle connections now, and a busy one after its trip."""
        await self._pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]
        with suppress(RedisError, OSError):
            await self._pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        for trip in self._trips:
            trip.cancel()
        if self._trips:
            await asyncio.wait([*self._trips])
        with suppress(RedisError, OSError):
            await self._pool.aclose()
