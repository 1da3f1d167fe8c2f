"""Hostile clients: each gets the documented answer, and other clients are unaffected.

Against real processes: `plancast serve` (the native transport), the same with short timeouts, the same without
authentication, and a hub inside another program's FastAPI app under stock uvicorn (the ASGI transport).
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest

from broadcasters.broadcaster import Broadcaster
from tests.faults.contained_attack import contained_attack
from tests.faults.credentials import AUDIENCE, SECRET, issued, signed, ticket, token
from tests.faults.raw_socket import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    RawSocket,
    connected,
    dial,
    dialled,
    frame,
    handshake,
)
from tests.servers.hub import HubServer
from tests.servers.process import RedisServer

pytestmark = pytest.mark.faults

SHORT_TIMEOUTS: Final = {
    "hub.transports.http_guard.HEAD_SECONDS": 1.0,
    "hub.transports.http_guard.REST_SECONDS": 1.0,
    "hub.transports.native.HEARTBEAT_SECONDS": 0.5,
    "hub.transports.native.SILENCE_SECONDS": 1.0,
    "hub.transports.native.CLOSING_SECONDS": 1.0,
    "hub.core.session.EXPIRY_GRACE": 1.0,
}
SILENT: Final = 50
KINDS: Final = ("native", "asgi", "quick", "development")


# --- hubs and silent clients


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Iterator[Mapping[str, HubServer]]:
    """All four kinds, started in parallel."""
    folder = tmp_path_factory.mktemp("hubs")
    auth: dict[str, Any] = {"auth_secret": SECRET, "auth_audience": AUDIENCE, "auth_leeway": 0}
    more: dict[str, dict[str, Any]] = {
        "native": auth,
        "asgi": {**auth, "mounted": True},
        "quick": {**auth, "constants": SHORT_TIMEOUTS},
        "development": {},
    }
    running = {kind: HubServer(f"sqlite:///{folder}/{kind}.db", **more[kind]) for kind in KINDS}
    running["development"].log = redis.url
    try:
        for hub in running.values():
            hub.start(wait=False)
        for hub in running.values():
            hub.wait_until_ready()
        yield running
    finally:
        for hub in running.values():
            hub.close()


@pytest.fixture(params=["native", "asgi"])
def hub(request: pytest.FixtureRequest, hubs: Mapping[str, HubServer]) -> HubServer:
    return hubs[request.param]


@pytest.fixture
def native(hubs: Mapping[str, HubServer]) -> HubServer:
    return hubs["native"]


@pytest.fixture
def quick(hubs: Mapping[str, HubServer]) -> HubServer:
    return hubs["quick"]


@pytest.fixture
def development(hubs: Mapping[str, HubServer]) -> HubServer:
    return hubs["development"]


@pytest.fixture(scope="module", autouse=True)
def silent_clients(hubs: Mapping[str, HubServer]) -> Iterator[Mapping[str, list[socket.socket]]]:
    """Clients that connect before the first test and send nothing; the last test checks that they were closed."""

    def open_socket(hub: HubServer) -> socket.socket:
        one = socket.create_connection(("127.0.0.1", hub.port), timeout=30)
        one.sendall(handshake(hub.ws, {}))
        return one

    waiting = {kind: [open_socket(hubs[kind]) for _ in range(SILENT)] for kind in ("native", "asgi")}
    yield waiting
    for sockets in waiting.values():
        for one in sockets:
            one.close()


@asynccontextmanager
async def http_client(hub: HubServer, bearer: str | None = None, **headers: str) -> AsyncGenerator[httpx.AsyncClient]:
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    async with httpx.AsyncClient(base_url=hub.url, headers=headers, timeout=30) as client:
        yield client


# --- authentication

BAD: Final[Mapping[str, tuple[Callable[[], str], str, int]]] = {
    "forged": (lambda: signed("the secret of another issuer, and long enough"), "invalid_token", 4501),
    "unsigned": (lambda: signed(algorithm="none"), "invalid_token", 4501),
    "another algorithm": (lambda: signed(algorithm="HS512"), "invalid_token", 4501),
    "another audience": (lambda: signed(aud="others.test"), "invalid_token", 4501),
    "no audience": (lambda: signed(aud=None), "invalid_token", 4501),
    "no expiry": (lambda: signed(exp=None), "invalid_token", 4501),
    "no token": (lambda: "nonsense", "invalid_token", 4501),
    "expired": (lambda: signed(exp=int(time.time()) - 1), "token_expired", 4440),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_token_in_the_header(kind: str, hub: HubServer) -> None:
    """C-CON-2, C-ACL-3: closed with the reason; no frame comes before."""
    make, _, code = BAD[kind]
    async with dialled(hub.ws, token=make()) as client:
        opcode, payload = await client.receive_raw()
    assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, code)


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_token_as_the_first_frame(kind: str, hub: HubServer) -> None:
    """C-AUT-3"""
    make, error, code = BAD[kind]
    async with dialled(hub.ws) as client:
        await client.receive_until("connected")
        answer = await client.request("authenticate", token=make(), request_id="r")
        assert (answer["code"], answer["request_id"]) == (error, "r")
        assert await client.closed() == code


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_token_over_http(kind: str, native: HubServer) -> None:
    """H-GEN-1: on every route, tickets included."""
    make, error, _ = BAD[kind]
    async with http_client(native, make()) as client:
        for answer in (
            await client.post("/api/tickets"),
            await client.get("/api/plans/p"),
            await client.get("/api/plans/p/stream"),
            await client.get("/api/plans/p/events"),
            await client.post("/api/plans/p/events", json={"type": "plan_update", "data": {}}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (401, error)


async def test_no_token_over_http(native: HubServer) -> None:
    async with http_client(native) as client:
        answers = [await client.get(path) for path in ("/api/plans", "/api/plans/p", "/api/plans/p/stream")]
    assert [answer.status_code for answer in answers] == [401, 401, 401]


async def test_a_ticket_is_valid_once_even_for_concurrent_connections(hub: HubServer) -> None:
    """H-TKT-1"""
    good = ticket()
    clients = await asyncio.gather(*(dial(hub.ws, ticket=good) for _ in range(8)))
    frames = [await client.receive_raw() for client in clients]
    for client in clients:
        client.reset()
    assert Counter(opcode for opcode, _ in frames) == {TEXT: 1, CLOSE: 7}
    assert {int.from_bytes(payload[:2], "big") for opcode, payload in frames if opcode == CLOSE} == {4440}
    async with dialled(hub.ws, ticket=good) as late:
        assert await late.closed() == 4440


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: ticket(age=31), 4440),
        (lambda: ticket()[:-1] + "~", 4501),
        (lambda: "pct_e30." + "A" * 43, 4501),
        (lambda: "pct_", 4501),
        (lambda: "%00%ff", 4501),
    ],
    ids=["too old", "changed", "forged", "empty", "no text"],
)
async def test_a_bad_ticket(make: Callable[[], str], code: int, hub: HubServer) -> None:
    async with dialled(hub.ws, ticket=make()) as client:
        assert await client.closed() == code


async def test_a_ticket_over_http(native: HubServer) -> None:
    """H-TKT-1: a ticket issued by the hub is refused at its second use."""
    async with http_client(native, token()) as client:
        fresh = (await client.post("/api/tickets")).json()["ticket"]
    issued.append(fresh)
    async with http_client(native) as client:
        first = await client.get("/api/plans", params={"ticket": fresh})
        again = await client.get("/api/plans/p/stream", params={"ticket": fresh})
    assert first.status_code == 200
    assert (again.status_code, again.json()["code"]) == (401, "token_expired")


# --- authorization


async def test_a_plan_that_is_not_theirs(hub: HubServer) -> None:
    """C-ACL-1: the answer is the same whether or not the plan exists."""
    async with Broadcaster(hub.log) as broadcaster:
        await broadcaster.send_plan_update("theirs.secret", title="Confidential")
    async with dialled(hub.ws, token=token({"mine.*": ["read"], "theirs": ["read"]})) as client:
        await client.receive_until("connected")
        for plan_id in ("theirs.secret", "theirs.nothing", "~plancast.tickets", "mine"):
            for fields in (
                {"kind": "subscribe_plan"},
                {"kind": "plan_input", "request_id": "r", "answer": 1},
                {"kind": "plan_signal", "signal": "cancel"},
            ):
                answer = await client.request(plan_id=plan_id, **fields)
                assert answer["code"] == "forbidden", answer
                assert "Confidential" not in json.dumps(answer)
        assert (await client.request("subscribe_plan", plan_id="mine.too"))["type"] == "subscription_confirmed"


async def test_a_plan_that_is_not_theirs_over_http(native: HubServer) -> None:
    """H-GEN-3"""
    async with http_client(native, token({"mine.*": ["read"]})) as client:
        for plan_id in ("theirs.secret", "theirs.nothing", "~plancast.tickets"):
            about = f"/api/plans/{plan_id}"
            event = {"type": "plan_update", "data": {}}
            for answer in (
                await client.get(about),
                await client.get(f"{about}/stream"),
                await client.get("/api/stream", params={"plan": ["mine.too", plan_id]}),
                await client.get(f"{about}/events", params={"wait": 5}),
                await client.post(f"{about}/events", json=event),
                await client.post(f"{about}/inputs/r", json={"answer": 1}),
                await client.post(f"{about}/signals", json={"signal": "cancel"}),
                await client.delete(about),
            ):
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), answer.text
        assert (await client.post("/api/plans/mine.too/events", json=event)).status_code == 403


async def test_a_page_of_a_foreign_origin(hub: HubServer) -> None:
    """C-ACL-4: with a good token or without."""
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{hub.port}.evil.example"):
        async with dialled(hub.ws, token=token(), Origin=origin) as client:
            assert await client.closed() == 4504
    async with dialled(hub.ws, token=token(), Origin=hub.url) as client:
        await client.receive_until("connected")


async def test_a_page_of_a_foreign_origin_over_http(native: HubServer) -> None:
    async with http_client(native, token(), Origin="http://evil.example") as client:
        answers = [await client.get(path) for path in ("/api/plans", "/api/plans/p/stream", "/api/plans/p/events")]
        answers.append(await client.post("/api/tickets"))
    assert [answer.status_code for answer in answers] == [403] * 4


@pytest.mark.parametrize("origin", [None, "own"])
async def test_a_public_host_name_that_resolves_to_a_developers_machine(
    origin: str | None, development: HubServer
) -> None:
    """DNS rebinding: to the browser the page has the hub's own origin, so only the host name gives it away."""
    name = f"evil.example:{development.port}"
    headers = {"Origin": f"http://{name}"} if origin else {}
    async with dialled(development.ws, raw_host=name, **headers) as client:
        assert await client.closed() == 4504
    async with http_client(development, Host=name, **headers) as client:
        answers = [await client.get(path) for path in ("/api/plans", "/api/plans/p/stream", "/api/plans/p/events")]
        answers.append(await client.post("/api/test/streaming/p"))
    assert [answer.status_code for answer in answers] == [403] * 4
    async with http_client(development) as client:
        assert (await client.get("/api/plans")).status_code == 200


# --- expiry and renewal


async def test_before_authentication(hub: HubServer) -> None:
    """C-AUT-1, C-LIM-5: only `ping` and `authenticate` are accepted, and few of them."""
    async with dialled(hub.ws) as client:
        await client.receive_until("connected")
        for fields in ({"kind": "subscribe_plan"}, {"kind": "unsubscribe_plan"}):
            assert (await client.request(plan_id="p", **fields))["code"] == "unauthenticated"
        assert (await client.request("ping", nonce="1"))["type"] == "pong"
        for _ in range(20):
            await client.send_json("ping", padding="x" * 1000)
        assert await client.closed() == 4429


async def test_a_token_that_expires(hubs: Mapping[str, HubServer]) -> None:
    """C-AUT-8, C-AUT-2, C-AUT-6, C-ACL-2"""
    async with asyncio.TaskGroup() as group:
        for one in (
            token_is_renewed(hubs["native"]),
            token_is_renewed(hubs["asgi"]),
            token_is_not_renewed(hubs["quick"]),
        ):
            group.create_task(one)


async def token_is_renewed(hub: HubServer) -> None:
    async with Broadcaster(hub.log) as broadcaster, dialled(hub.ws, token=token(seconds=2)) as client:
        assert "expires_at" in await client.receive_until("connected")
        await client.request("subscribe_plan", plan_id="a")
        assert (await client.receive())["code"] == "token_expired"
        ended = await client.receive()
        assert (ended["type"], ended["code"]) == ("subscription_ended", 2501)
        assert (await client.request("subscribe_plan", plan_id="a"))["code"] == "token_expired"
        assert (await client.request("authenticate", token=token(subject="eve")))["code"] == "forbidden"
        assert (await client.request("authenticate", token=token()))["type"] == "authenticated"
        for plan_id in ("a", "b"):
            assert (await client.request("subscribe_plan", plan_id=plan_id))["type"] == "subscription_confirmed"
        lesser = token({"b": ["read"]})
        assert (await client.request("authenticate", token=lesser))["type"] == "authenticated"
        ended = await client.receive()
        assert (ended["plan_id"], ended["code"]) == ("a", 2403)
        for plan_id in ("a", "b"):
            await broadcaster.send_plan_update(plan_id)
        assert (await client.receive())["plan_id"] == "b"
        assert (await client.request("authenticate", token=signed("wrong, but long enough to be a secret")))[
            "code"
        ] == ("invalid_token")
        assert (await client.request("ping"))["type"] == "pong"


async def token_is_not_renewed(quick: HubServer) -> None:
    async with dialled(quick.ws, token=token(seconds=2)) as client:
        await client.receive_until("error")
        assert await client.closed() == 4440


# --- invalid frames

MILLION: Final = b"x" * 1_000_000
FRAMES: Final[Mapping[str, tuple[bytes, int]]] = {
    "a frame of 1 MB": (frame(MILLION), 1009),
    "a frame that claims 2^62 bytes": (frame(claims=2**62), 1009),
    "a frame that claims 2^63 bytes": (frame(claims=2**63), 1009),
    "a message of 1 MB in fragments": (
        frame(MILLION[:60_000], fin=False) + frame(MILLION[:60_000], CONT, fin=False) * 15 + frame(b"", CONT),
        1009,
    ),
    "a binary frame": (frame(b"{}", BINARY), 1003),
    "bytes that are not UTF-8": (frame(b'{"type":"\xff"}'), 1007),
    "half a character": (frame(b'{"type":"\xe2\x82'), 1007),
    "half a character, and then another one": (frame(b"\xe2\x82", fin=False) + frame(b"x", CONT), 1007),
    "no mask": (frame(b"{}", masked=False), 1002),
    "reserved bits": (frame(b"{}", reserved=4), 1002),
    "an unknown opcode": (frame(b"{}", 0x3), 1002),
    "an unknown control opcode": (frame(b"", 0xB), 1002),
    "a continuation of nothing": (frame(b"{}", CONT), 1002),
    "a message inside another": (frame(b"{", fin=False) + frame(b"{}"), 1002),
    "a ping in fragments": (frame(b"x", PING, fin=False), 1002),
    "a ping of 126 bytes": (frame(b"x" * 126, PING), 1002),
    "a close with an invalid code": (frame((999).to_bytes(2, "big"), CLOSE), 1002),
    "a close with half a code": (frame(b"x", CLOSE), 1002),
}


async def test_invalid_websocket_frames(hub: HubServer) -> None:
    """C-FRM-5, C-LIM-1"""
    good = token()
    async with contained_attack(hub, f"{len(FRAMES)} broken frames", token=good, connections=len(FRAMES)):
        for what, (data, code) in FRAMES.items():
            async with dialled(hub.ws, token=good) as client:
                await client.receive_until("connected")
                await client.send(data)
                assert await client.closed() == code, what


async def test_a_character_in_two_fragments_is_one(hub: HubServer) -> None:
    message = json.dumps({"type": "ping", "nonce": "€"}, ensure_ascii=False).encode()
    async with dialled(hub.ws, token=token()) as client:
        await client.receive_until("connected")
        middle = message.index("€".encode()) + 1
        await client.send(frame(message[:middle], fin=False) + frame(b"", PING) + frame(message[middle:], CONT))
        assert (await client.receive())["nonce"] == "€"


async def test_invalid_client_frames(hub: HubServer) -> None:
    """C-BAD-1 to C-BAD-6"""
    corpus = [
        "",
        "[]",
        "{",
        '{"type":"ping"}x',
        '{"type":NaN}',
        '"\\ud800"',
        "[" * 30_000,
        '{"type":"ping","a":' + "9" * 5000,
    ]
    async with dialled(hub.ws, token=token()) as client:
        await client.receive_until("connected")
        for text in corpus * 2:
            await client.send(frame(text.encode()))
            assert (await client.receive())["code"] == "bad_frame"
        assert await client.closed() == 4500


# --- floods


async def flood(client: RawSocket, data: bytes, times: int) -> None:
    """Sends the data this many times, or until the connection is closed."""
    for _ in range(times):
        if not await client.send(data):
            return


def codes_of(answers: list[dict[str, Any]]) -> Counter[str]:
    return Counter(answer.get("code", answer["type"]) for answer in answers)


async def until_closed(client: RawSocket) -> tuple[list[dict[str, Any]], int]:
    """All frames received before the close, and the close code."""
    received: list[dict[str, Any]] = []
    while (frame := await client.next()) is not None:
        received.append(frame)
    assert client.code is not None
    return received, client.code


async def test_ten_thousand_subscriptions(hub: HubServer) -> None:
    """C-LIM-2, C-LIM-4"""
    good = token()
    requests = [frame(b'{"type":"subscribe_plan","plan_id":"many.%d"}' % n) for n in range(10_000)]
    async with (
        contained_attack(hub, "10,000 subscriptions", token=good, plans=256),
        dialled(hub.ws, token=good) as client,
    ):
        await client.receive_until("connected")
        await client.send(b"".join(requests[:256]))
        for _ in range(256):
            assert (await client.receive())["type"] == "subscription_confirmed"
        sending = asyncio.create_task(client.send(b"".join(requests[256:])))
        received, code = await until_closed(client)
        client.reset()
        await sending
    assert code == 4429
    assert codes_of(received).keys() == {"too_many_subscriptions"}
    assert len(received) >= 256


async def subscription_storm(hub: HubServer, bearer: str) -> None:
    pair = frame(b'{"type":"subscribe_plan","plan_id":"storm","since":"start"}')
    pair += frame(b'{"type":"unsubscribe_plan","plan_id":"storm"}')
    async with dialled(hub.ws, token=bearer) as client:
        await client.receive_until("connected")
        sending = asyncio.create_task(flood(client, pair * 100, 100))
        received, code = await until_closed(client)
        client.reset()
        await sending
    assert code == 4429
    assert codes_of(received)["unsubscription_confirmed"] >= 256


async def test_endless_subscribing_and_unsubscribing(hub: HubServer) -> None:
    """C-LIM-4: answered until the burst is used up."""
    good = token()
    async with contained_attack(hub, "5 storms of subscriptions", token=good, connections=5):
        await asyncio.gather(*(subscription_storm(hub, good) for _ in range(5)))


FLOODS: Final[Mapping[str, tuple[bytes, int]]] = {
    "pings": (frame(b"", PING), 4429),
    "unsolicited pongs": (frame(b"x" * 125, PONG), 4429),
    "empty fragments": (frame(b"", CONT, fin=False), 1009),
    "empty messages": (frame(b""), 4500),
    "messages": (frame(b'{"type":"ping"}'), 4429),
    "unknown frame types": (frame(b'{"type":"dance"}'), 4429),
}


async def send_flood(hub: HubServer, bearer: str, what: str, *, reading: bool) -> None:
    piece, code = FLOODS[what]
    async with dialled(hub.ws, token=bearer) as client:
        await client.send(frame(fin=False) if what == "empty fragments" else b"")
        sending = asyncio.create_task(flood(client, piece * 1000, 500 if reading else 1_000_000))
        if reading:
            assert await client.closed() == code, what
            client.reset()
        async with asyncio.timeout(30):
            await sending


async def test_floods(native: HubServer) -> None:
    """C-LIM-1, C-LIM-4: hundreds of thousands of frames at full speed."""
    good = token()
    async with contained_attack(native, f"{len(FLOODS)} floods", token=good, connections=len(FLOODS)):
        await asyncio.gather(*(send_flood(native, good, what, reading=True) for what in FLOODS))


async def test_floods_by_clients_that_do_not_read(quick: HubServer) -> None:
    """The connection is reset, and until then the hub processes hardly any of the frames."""
    good = token()
    async with contained_attack(quick, f"{len(FLOODS)} floods, nothing read", token=good, connections=len(FLOODS)):
        await asyncio.gather(*(send_flood(quick, good, what, reading=False) for what in FLOODS))


BEGUN: Final = b"GET /ws/streaming HTTP/1.1\r\nHost: 127.0.0.1\r\n"
INCOMPLETE: Final[Mapping[str, tuple[bytes, bytes, bytes]]] = {
    "nothing": (b"", b"", b""),
    "half a request line": (b"GET /ws/stre", b"", b"HTTP/1.1 408 "),
    "header by header": (BEGUN, b"X-Another: header\r\n", b"HTTP/1.1 408 "),
    "one header without end": (BEGUN + b"X-Long: ", b"x", b"HTTP/1.1 408 "),
    "a handshake with a body": (
        handshake("ws://127.0.0.1/ws/streaming", {"Content-Length": "1000000"}),
        b"x",
        b"HTTP/1.1 400 ",
    ),
    "line breaks": (b"\r\n", b"\r\n", b"HTTP/1.1 408 "),
    "a body that was answered": (
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n\r\n",
        b"x",
        b"",  # answered in time; the connection is then closed in the middle of the body
    ),
}
"""The first bytes, the bytes that follow bit by bit, and the answer, if any."""


async def send_slowly(hub: HubServer, what: str) -> None:
    first, next_bytes, answer = INCOMPLETE[what]
    async with connected(hub.port) as client, asyncio.timeout(30):
        await client.send(first)
        ending = asyncio.create_task(client.until_eof())
        while not ending.done():
            await client.send(next_bytes)
            await asyncio.wait([ending], timeout=0.2)
        received = ending.result()
    assert received[: len(answer)] == answer, what
    assert answer or received[:13] in (b"", b"HTTP/1.1 200 "), what


async def test_requests_that_are_never_completed(quick: HubServer) -> None:
    """The hub stops waiting for each of them soon."""
    many = [what for what in INCOMPLETE for _ in range(20)]
    async with contained_attack(
        quick, f"{len(many)} requests that are never completed", token=token(), connections=len(many)
    ):
        await asyncio.gather(*(send_slowly(quick, what) for what in many))


@pytest.mark.slow
async def test_all_attacks_at_once_repeatedly(quick: HubServer) -> None:
    """Memory does not grow from round to round."""
    good, rounds = token(), 12
    count = 4 * len(FLOODS) + 5 + 3 * len(INCOMPLETE)
    async with contained_attack(quick, f"{rounds} rounds of {count} attacks at once", token=good, connections=count):
        for _ in range(rounds):
            attacks = [
                send_flood(quick, good, what, reading=reading) for what in FLOODS for reading in (True, False) * 2
            ]
            attacks += [subscription_storm(quick, good) for _ in range(5)]
            attacks += [send_slowly(quick, what) for what in INCOMPLETE for _ in range(3)]
            await asyncio.gather(*attacks)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (b"".join(b"X-%d: %b\r\n" % (n, b"x" * 50) for n in range(20_000)), 431),
        (b"X-Long: " + b"x" * 2_000_000, 431),
        (b"X-Few: but long %b\r\n\r\n" % (b"x" * 20_000), 431),
        (b"".join(b"X-%d: many\r\n" % n for n in range(1000)) + b"\r\n", 431),
    ],
    ids=["a million bytes", "one endless header", "one of 20 KB", "a thousand"],
)
async def test_headers_over_the_limits(more: bytes, status: int, native: HubServer) -> None:
    async with contained_attack(native, "a flood of headers", token=token()), connected(native.port) as client:
        sending = asyncio.create_task(client.send(handshake(native.ws, {})[:-2] + more))
        assert (await client.until_eof()).startswith(b"HTTP/1.1 %d " % status)
        await sending


async def test_the_hubs_own_path_percent_encoded(native: HubServer) -> None:
    """An encoded path must not bypass the native transport and its limits."""
    before = native.metric("plancast_connections_opened_total", transport="asgi")
    for path in ("/ws/%73treaming", "/%77s/streaming", "/ws%2Fstreaming"):
        async with dialled(native.ws.replace("/ws/streaming", path), token=token()) as client:
            await client.receive_until("connected")
    assert native.metric("plancast_connections_opened_total", transport="asgi") == before


async def test_a_client_that_stops_answering_pings(quick: HubServer) -> None:
    """C-PNG-2: as with a half-open connection. A client that answers pings stays connected."""
    good = token()
    async with (
        Broadcaster(quick.log) as broadcaster,
        dialled(quick.ws, token=good) as alive,
        dialled(quick.ws, token=good) as dead,
    ):
        dead.answers_pings = False
        await alive.send_json("subscribe_plan", plan_id="pings")
        staying = asyncio.create_task(alive.receive_until("plan_update"))
        assert await dead.closed() == 1006
        await broadcaster.send_plan_update("pings")
        assert (await staying)["offset"] == 1


# --- plan ids


HOSTILE: Final = (
    "*",
    "a*",
    "}",
    "{a}",
    "a}b",
    "a\nb",
    "a\r\nDEL b",
    "a b",
    "ä",
    "\u202e",
    "a\0",
    "",
    "x" * 129,
    "[a-z]",
    "?",
)


async def test_invalid_plan_ids_reach_no_key_and_no_pattern(development: HubServer, redis: RedisServer) -> None:
    """C-BAD-5: on Redis, where the plan id is part of keys and channels."""
    keys = set(redis.call("KEYS", "*"))
    async with dialled(development.ws) as client, http_client(development) as http:
        await client.receive_until("connected")
        for plan_id in HOSTILE:
            for kind in ("subscribe_plan", "unsubscribe_plan", "plan_signal", "plan_input"):
                reply = await client.request(kind, plan_id=plan_id, request_id="r", signal="cancel", answer=1)
                assert reply["code"] == "invalid_plan_id", (plan_id, reply)
                await client.request("ping")  # a valid frame, which resets the count of bad ones
            about = f"/api/plans/{quote(plan_id, safe='') or '%20'}"
            for answer in (
                await http.get(about),
                await http.get(f"{about}/stream"),
                await http.get("/api/stream", params={"plan": plan_id}),
                await http.post(f"{about}/events", json={"type": "plan_update", "data": {}}),
                await http.delete(about),
            ):
                assert (answer.status_code, answer.json()["code"]) == (422, "invalid_plan_id"), answer.text
    assert {key for key in redis.call("KEYS", "*") if "~plancast." not in key} <= keys
    assert redis.call("PUBSUB", "NUMPAT") == 0
    assert all("~plancast." in channel for channel in redis.call("PUBSUB", "SHARDCHANNELS"))


# --- after all other tests


def test_clients_that_never_authenticated_were_closed(silent_clients: Mapping[str, list[socket.socket]]) -> None:
    """C-AUT-7"""
    for kind, sockets in silent_clients.items():
        for one in sockets:
            received = b""
            while b"\x88" not in received and (more := one.recv(65536)):
                received += more
            assert (4501).to_bytes(2, "big") in received[received.index(b"\x88") :], kind


async def test_no_token_and_no_ticket_is_in_the_logs(hubs: Mapping[str, HubServer]) -> None:
    for kind, hub in hubs.items():
        async with dialled(hub.ws, token=token()):
            pass
        async with dialled(hub.ws, ticket=ticket()):
            pass
        output = hub.output
        assert not [one for one in (*issued, SECRET) if one in output], kind
        assert hub.alive
    for kind in ("native", "quick", "development"):
        assert hubs[kind].logged("error") == hubs[kind].logged("critical") == [], hubs[kind].output[-3000:]
