"""Redis credentials that change during appends and a tail: nothing is lost or stored twice."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import Sentinel
from redis.auth.idp import IdentityProviderInterface
from redis.auth.token import SimpleToken
from redis.auth.token_manager import CredentialsListener, RetryPolicy, TokenManager, TokenManagerConfig
from redis.credentials import CredentialProvider, StreamingCredentialProvider

from broadcasters.errors import LogUnavailable
from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from broadcasters.log.redis import log as redis_log
from tests.contract.clients import RecordingWatcher
from tests.faults.senders import Sender, check_log, until, until_each_appended
from tests.servers import RedisCluster as ClusterServers
from tests.servers import RedisServer, SentinelSet

pytestmark = pytest.mark.faults

RIGHTS = "~plancast:*", "&plancast:*", "+@all"


@pytest.fixture(autouse=True)
def _check_credentials_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_log, "CREDENTIALS_S", 0.02)


class Passwords(CredentialProvider):
    """Provider of the user and password that the test sets."""

    def __init__(self, user: str, password: str) -> None:
        self.current = (user, password)

    async def get_credentials_async(self) -> tuple[str, str]:
        return self.current


class BlockingPasswords(CredentialProvider):
    """A provider without a coroutine, as many are written."""

    def __init__(self, user: str, password: str) -> None:
        self.current = (user, password)

    def get_credentials(self) -> tuple[str, str]:
        return self.current


@asynccontextmanager
async def under_load(client: Redis | RedisCluster) -> AsyncIterator[tuple[PlanLog, list[Sender], RecordingWatcher]]:
    """Run four senders and a watcher of a plan during the block, then check the whole log."""
    log, watcher = log_of(client), RecordingWatcher()
    await log.open()
    await log.watch("plan", watcher)
    senders = [Sender(log, "plan", f"agent-{i}") for i in range(4)]
    enough = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            for sender in senders:
                group.create_task(sender.append_until(enough))
            await until_each_appended(senders)
            yield log, senders, watcher
            await until_each_appended(senders)
            enough.set()
        last = await senders[0].append()
        await watcher.until_offset(last.offset)
        await check_log(log, senders)
    finally:
        await log.close()
        await client.aclose()


def users_of(server: RedisServer) -> list[str]:
    """The users of all connections, except the test's own."""
    lines = server.call("CLIENT", "LIST").splitlines()
    facts = [dict(fact.split("=", 1) for fact in line.split()) for line in lines]
    return [fact["user"] for fact in facts if fact["user"].startswith("agent")]


def add_user(user: str, *servers: RedisServer) -> None:
    for server in servers:
        server.call("ACL", "SETUSER", user, "on", f">{user}'s", *RIGHTS)


@pytest.mark.parametrize("kind", [Passwords, BlockingPasswords])
async def test_links_log_in_again_before_the_old_credentials_expire(
    kind: type[Passwords | BlockingPasswords], caplog: pytest.LogCaptureFixture
) -> None:
    """No append is repeated, and the tail is not lost."""
    with RedisServer() as server:
        add_user("agent-1", server)
        add_user("agent-2", server)
        passwords = kind("agent-1", "agent-1's")
        client = Redis(host="127.0.0.1", port=server.port, credential_provider=passwords)
        async with under_load(client) as (_, senders, watcher):
            assert set(users_of(server)) == {"agent-1"}
            passwords.current = ("agent-2", "agent-2's")
            await until(lambda: set(users_of(server)) == {"agent-2"})
            server.call("ACL", "DELUSER", "agent-1")  # this also closes the user's connections
        assert sum(sender.retries for sender in senders) == 0
        assert watcher.words == []
        assert "rejected" not in caplog.text


@pytest.mark.parametrize("late_s", [0.0, 0.5])
async def test_connections_are_cut_when_the_password_expires(late_s: float) -> None:
    """The provider returns the new one at once, or a little later; until then every login is rejected."""
    with RedisServer() as server:
        add_user("agent", server)
        passwords = Passwords("agent", "agent's")
        client = Redis(host="127.0.0.1", port=server.port, credential_provider=passwords)
        async with under_load(client) as (_, senders, watcher):
            for n in range(1, 4):
                server.call("ACL", "SETUSER", "agent", "resetpass", f">new-{n}")
                server.call("CLIENT", "KILL", "USER", "agent")
                await watcher.until(lambda watcher, n=n: watcher.words.count("lost") >= n)  # type: ignore[misc]
                await asyncio.sleep(late_s)
                passwords.current = ("agent", f"new-{n}")
                await until_each_appended(senders)
                await watcher.until(lambda watcher: watcher.words.count("lost") == watcher.words.count("resumed"))
        assert sum(sender.retries for sender in senders) > 0


async def test_links_stay_open_when_redis_rejects_the_new_credentials(caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer() as server:
        add_user("agent", server)
        passwords = Passwords("agent", "agent's")
        client = Redis(host="127.0.0.1", port=server.port, credential_provider=passwords)
        async with under_load(client) as (_, _, watcher):
            passwords.current = ("agent", "not yet known to the server")
            await until(lambda: "rejected new credentials" in caplog.text)
            server.call("ACL", "SETUSER", "agent", ">not yet known to the server")
        assert watcher.words == []


async def test_a_wrong_password_from_a_provider_is_unavailable_not_misconfigured() -> None:
    with RedisServer() as server:
        add_user("agent", server)
        client = Redis(host="127.0.0.1", port=server.port, credential_provider=Passwords("agent", "old"))
        with pytest.raises(LogUnavailable, match="WRONGPASS"):
            await log_of(client).open()


async def test_behind_sentinels() -> None:
    with SentinelSet() as servers:
        for user in ("agent-1", "agent-2"):
            add_user(user, *servers.servers)
        passwords = Passwords("agent-1", "agent-1's")
        sentinel = Sentinel([("127.0.0.1", one.port) for one in servers.sentinels])  # type: ignore[no-untyped-call]
        async with under_load(sentinel.master_for("plans", credential_provider=passwords)) as (_, senders, watcher):
            passwords.current = ("agent-2", "agent-2's")
            await until(lambda: set(users_of(servers.master)) == {"agent-2"})
            servers.master.call("ACL", "DELUSER", "agent-1")
        await sentinel.aclose()
        assert sum(sender.retries for sender in senders) == 0
        assert watcher.words == []


async def test_in_a_cluster() -> None:
    with ClusterServers(replicas=False) as servers:
        for user in ("agent-1", "agent-2"):
            add_user(user, *servers.nodes)
        passwords = Passwords("agent-1", "agent-1's")
        client = RedisCluster(host="127.0.0.1", port=servers.nodes[0].port, credential_provider=passwords)
        async with under_load(client) as (_, senders, watcher):
            passwords.current = ("agent-2", "agent-2's")
            await until(lambda: {user for node in servers.nodes for user in users_of(node)} == {"agent-2"})
            for node in servers.nodes:
                node.call("ACL", "DELUSER", "agent-1")
        assert sum(sender.retries for sender in senders) == 0
        assert watcher.words == []


class ExpiringIdentities(IdentityProviderInterface):
    """Identity provider with a new user per token. When a token has expired, its user is deleted as soon as no connection
    is logged in as it: deleting it would disconnect those."""

    def __init__(self, server: RedisServer, lifetime_s: float) -> None:
        self.expired = 0
        self._server = server
        self._lifetime_s = lifetime_s
        self._numbers = itertools.count(1)
        self._token: SimpleToken | None = None

    def request_token(self, force_refresh: bool = False) -> SimpleToken:
        if self._token is None or force_refresh:
            user = f"agent-{next(self._numbers)}"
            add_user(user, self._server)
            asyncio.get_running_loop().call_later(self._lifetime_s, self._expire, user)
            now_ms = time.time() * 1000
            self._token = SimpleToken(f"{user}'s", now_ms + self._lifetime_s * 1000, now_ms, {"oid": user})
        return self._token

    def _expire(self, user: str) -> None:
        if user in users_of(self._server):
            asyncio.get_running_loop().call_later(0.05, self._expire, user)
            return
        self._server.call("ACL", "DELUSER", user)
        self.expired += 1


class TokenProvider(StreamingCredentialProvider):
    """Built like `redis-entraid`: it has one listener, and that is the client's."""

    def __init__(self, identities: ExpiringIdentities) -> None:
        self._tokens = TokenManager(identities, TokenManagerConfig(0.25, 0, 1000, RetryPolicy(3, 10)))
        self._listener = CredentialsListener()  # type: ignore[no-untyped-call]
        self._streaming = False

    async def get_credentials_async(self) -> tuple[str, str]:
        token = (await self._tokens.acquire_token_async()).get_token()
        if not self._streaming:
            self._streaming = True
            await self._tokens.start_async(self._listener, skip_initial=True)
        return token.try_get("oid"), token.get_value()

    def on_next(self, callback: Callable[[Any], None]) -> None:
        self._listener.on_next = callback

    def on_error(self, callback: Callable[[Exception], None]) -> None:
        self._listener.on_error = callback

    def is_streaming(self) -> bool:
        return self._streaming


async def test_a_streaming_provider_whose_tokens_expire() -> None:
    """Three tokens expire during the test, and every connection receives the new ones, the client's own too."""
    with RedisServer() as server:
        identities = ExpiringIdentities(server, lifetime_s=1.0)
        client = Redis(host="127.0.0.1", port=server.port, credential_provider=TokenProvider(identities))
        async with under_load(client) as (_, senders, watcher):
            number = await client.client_id()
            await until(lambda: identities.expired >= 3)
            assert await client.client_id() == number, "the client's connection was cut off"
        assert sum(sender.retries for sender in senders) == 0
        assert watcher.words == []
