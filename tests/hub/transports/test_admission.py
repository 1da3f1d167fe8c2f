"""Admission: which clients are admitted, whose limits they count against, and that all counts return to zero."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.access.principal import Principal
from hub.core.burst import Burst
from hub.core.connection import TokenRefused
from hub.node import Hub
from hub.transports import admission
from hub.transports.admission import AdmissionRefused, AdmittedClient, bearer
from hub.transports.peers import Peer
from hub.wire.codes import CloseCode, ErrorCode
from hub.wire.server_frames import ServerFrame
from tests.hub.transports.serving import SECRET, house, token_of


class Line:
    """An outlet that takes everything."""

    full = False

    def deliver(self, burst: Burst) -> None: ...

    def send(self, frame: ServerFrame) -> None: ...

    def write(self, frame: bytes) -> None: ...

    def unread(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None: ...


def peer(address: str | None = "192.0.2.1", **more: Any) -> Peer:
    return Peer(address=address, scheme="ws", host="127.0.0.1:8000", **more)


async def admit(hub: Hub, who: Peer) -> AdmittedClient:
    client = hub.admission.admit(who)
    return await client if isinstance(client, Awaitable) else client


async def refusal(hub: Hub, who: Peer) -> CloseCode:
    with pytest.raises(AdmissionRefused) as refused:
        await admit(hub, who)
    return refused.value.code


@asynccontextmanager
async def asked(folder: Path, **settings: Any) -> AsyncGenerator[Hub]:
    """A hub with authentication."""
    async with house(folder, auth_secret=SECRET, **settings) as hub:
        yield hub


async def test_without_authentication_every_client_is_admitted_at_once(tmp_path: Path) -> None:
    async with house(tmp_path) as hub:
        client = hub.admission.admit(peer())
        assert isinstance(client, AdmittedClient)
        assert client.principal == Principal.development()
        assert client.subject is None  # they would all be the same one
        hub.admission.leave(None, client)


async def test_a_valid_token_is_known_at_once_and_may_also_come_later(tmp_path: Path) -> None:
    async with asked(tmp_path) as hub:
        ada = hub.admission.admit(peer(authorization=f"Bearer {token_of(hub, 'ada', {})}"))
        stranger = hub.admission.admit(peer())
        assert isinstance(ada, AdmittedClient)
        assert isinstance(stranger, AdmittedClient)
        assert (ada.subject, stranger.principal, stranger.subject) == ("ada", None, None)
        assert hub.admission._present.total == 2
        for client in (ada, stranger):
            hub.admission.leave(None, client)


async def test_bad_tokens_tickets_and_origins_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with asked(tmp_path, auth_leeway=0.0) as hub:
        late = token_of(hub, "ada", {}, seconds=-1)
        assert await refusal(hub, peer(authorization="Bearer nonsense")) == CloseCode.UNAUTHENTICATED
        assert await refusal(hub, peer(authorization="Basic YTpi")) == CloseCode.UNAUTHENTICATED
        assert await refusal(hub, peer(authorization=f"Bearer {late}")) == CloseCode.TOKEN_EXPIRED
        assert await refusal(hub, peer(ticket="nonsense")) == CloseCode.UNAUTHENTICATED
        assert await refusal(hub, peer(origin="http://evil.example")) == CloseCode.ORIGIN_REFUSED
        assert hub.counts.auth_failures == {"invalid_token": 3, "token_expired": 1, "origin": 1}
    assert any("DecodeError" in message for message in caplog.messages)
    assert any("ticket" in message for message in caplog.messages)


async def test_a_ticket_admits_the_principal_it_was_issued_to(tmp_path: Path) -> None:
    async with asked(tmp_path) as hub:
        principal = await hub.authenticate(token_of(hub, "ada", {"p": ["read"]}))
        ticket = hub.tickets.issue(principal, time.time()).ticket
        client = await admit(hub, peer(ticket=ticket, authorization="Bearer of something else"))
        assert (client.subject, client.principal) == ("ada", principal)
        assert await refusal(hub, peer(ticket=ticket)) == CloseCode.TOKEN_EXPIRED
        hub.admission.leave(None, client)


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        ({"max_connections": 2}, "process"),
        ({"max_connections_per_address": 2}, "address"),
        ({"max_connections_per_principal": 2}, "principal"),
    ],
)
async def test_connections_are_limited(limits: dict[str, int], kind: str, tmp_path: Path) -> None:
    """C-LIM-7"""
    async with asked(tmp_path, **limits) as hub:
        ada = peer(authorization=f"Bearer {token_of(hub, 'ada', {})}")
        inside = [await admit(hub, ada) for _ in range(2)]
        assert await refusal(hub, ada) == CloseCode.TOO_MANY_REQUESTS
        assert hub.counts.refused_connections == {kind: 1}
        hub.admission.leave(None, inside.pop())
        inside.append(await admit(hub, ada))
        assert hub.admission._present.total == 2
        for client in inside:
            hub.admission.leave(None, client)


async def test_no_client_is_admitted_while_the_hub_is_drained(tmp_path: Path) -> None:
    async with house(tmp_path) as hub:
        await hub.drain(0.1)
        assert await refusal(hub, peer()) == CloseCode.RESTART
        assert hub.counts.refused_connections == {"draining": 1}


async def test_a_check_that_times_out_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def never(*_: object) -> Principal:
        await asyncio.Event().wait()
        raise AssertionError

    async def fails(*_: object) -> Principal:
        raise LookupError("a mistake of ours")

    monkeypatch.setattr(admission, "ADMISSION_SECONDS", 0.01)
    async with asked(tmp_path) as hub:
        monkeypatch.setattr(hub.tickets, "redeem", never)
        assert await refusal(hub, peer(ticket="nonsense")) == CloseCode.INTERNAL
        assert hub.counts.auth_failures == {"unavailable": 1}
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
        monkeypatch.setattr(hub.tickets, "redeem", fails)
        assert await refusal(hub, peer(ticket="nonsense")) == CloseCode.INTERNAL
        assert [record.getMessage() for record in caplog.records] == [
            "a client's token could not be checked: a mistake of ours"
        ]


async def test_a_first_token_claims_the_connection_and_later_ones_do_not(tmp_path: Path) -> None:
    async with asked(tmp_path, max_connections_per_principal=1) as hub:
        clients = [await admit(hub, peer()) for _ in range(2)]
        one, two = (hub.admission.connect(Line(), client, "memory") for client in clients)
        ada = token_of(hub, "ada", {})
        principal = await one._services.authenticate(ada)
        assert principal.subject == "ada"
        one.limits.claim(principal)
        one.limits.claim(principal)
        with pytest.raises(TokenRefused) as refused:
            two.limits.claim(principal)
        assert refused.value.code is ErrorCode.TOO_MANY_REQUESTS
        assert [client.subject for client in clients] == ["ada", None]
        hub.admission.leave(one, clients[0])
        two.limits.claim(principal)
        hub.admission.leave(two, clients[1])
        assert hub.counts.connections == {"memory": 0}


async def test_more_connections_mean_lower_water_marks(tmp_path: Path) -> None:
    async with house(tmp_path, outlet_total_bytes=2 * 1024 * 1024) as hub:
        alone = hub.admission.waters.high
        clients = [await admit(hub, peer()) for _ in range(20)]
        connections = [hub.admission.connect(Line(), client, "memory") for client in clients]
        assert hub.admission.waters.high < alone
        for connection, client in zip(connections, clients, strict=True):
            hub.admission.leave(connection, client)
        assert hub.admission.waters.high == alone


async def test_guests_are_counted_until_they_leave(tmp_path: Path) -> None:
    async with house(tmp_path, max_connections=1) as hub:
        with hub.admission.guest(peer(), Principal.development(), "poll"):
            assert hub.counts.connections == {"poll": 1}
            with pytest.raises(AdmissionRefused), hub.admission.guest(peer(), Principal.development(), "poll"):
                raise AssertionError("there was no room")
        with pytest.raises(KeyError), hub.admission.guest(peer(), Principal.development(), "poll"):
            raise KeyError
        assert (hub.counts.connections, hub.counts.connections_total) == ({"poll": 0}, {"poll": 2})


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("abc", ""), ("", ""), ("Bearer", "")],
)
def test_the_token_of_a_header(header: str, token: str) -> None:
    assert bearer(header) == token
