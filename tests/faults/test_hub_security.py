"""Hostile clients: each gets the documented answer, and nobody else notices.

Against real processes: `plancast serve` (the native transport), the same in a hurry, the same without authentication,
and a hub inside somebody else's FastAPI app under stock uvicorn (the ASGI transport).
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
from tests.faults.bystander import unharmed
from tests.faults.credentials import AUDIENCE, SECRET, shown, signed, ticket, token
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

HURRY: Final = {
    "hub.transports.http_guard.HEAD_SECONDS": 1.0,
    "hub.transports.http_guard.REST_SECONDS": 1.0,
    "hub.transports.native.HEARTBEAT_SECONDS": 0.5,
    "hub.transports.native.SILENCE_SECONDS": 1.0,
    "hub.transports.native.CLOSING_SECONDS": 1.0,
    "hub.core.session.EXPIRY_GRACE": 1.0,
}
LOITERERS: Final = 50
KINDS: Final = ("native", "asgi", "hurried", "development")


# --- who is there


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Iterator[Mapping[str, HubServer]]:
    """All of them, started side by side."""
    folder = tmp_path_factory.mktemp("hubs")
    asked: dict[str, Any] = {"auth_secret": SECRET, "auth_audience": AUDIENCE, "auth_leeway": 0}
    more: dict[str, dict[str, Any]] = {
        "native": asked,
        "asgi": {**asked, "mounted": True},
        "hurried": {**asked, "constants": HURRY},
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
def hurried(hubs: Mapping[str, HubServer]) -> HubServer:
    return hubs["hurried"]


@pytest.fixture
def development(hubs: Mapping[str, HubServer]) -> HubServer:
    return hubs["development"]


@pytest.fixture(scope="module", autouse=True)
def loiterers(hubs: Mapping[str, HubServer]) -> Iterator[Mapping[str, list[socket.socket]]]:
    """Clients that say nothing, there since before the first test; the last one looks what became of them."""

    def come(hub: HubServer) -> socket.socket:
        one = socket.create_connection(("127.0.0.1", hub.port), timeout=30)
        one.sendall(handshake(hub.ws, {}))
        return one

    waiting = {kind: [come(hubs[kind]) for _ in range(LOITERERS)] for kind in ("native", "asgi")}
    yield waiting
    for sockets in waiting.values():
        for one in sockets:
            one.close()


@asynccontextmanager
async def asking(hub: HubServer, shows: str | None = None, **headers: str) -> AsyncGenerator[httpx.AsyncClient]:
    """Over HTTP."""
    if shows is not None:
        headers["Authorization"] = f"Bearer {shows}"
    async with httpx.AsyncClient(base_url=hub.url, headers=headers, timeout=30) as client:
        yield client


# --- who they say they are

BAD: Final[Mapping[str, tuple[Callable[[], str], str, int]]] = {
    "forged": (lambda: signed("somebody else's secret, and long enough"), "invalid_token", 4501),
    "unsigned": (lambda: signed(algorithm="none"), "invalid_token", 4501),
    "another algorithm": (lambda: signed(algorithm="HS512"), "invalid_token", 4501),
    "another audience": (lambda: signed(aud="others.test"), "invalid_token", 4501),
    "no audience": (lambda: signed(aud=None), "invalid_token", 4501),
    "for ever": (lambda: signed(exp=None), "invalid_token", 4501),
    "no token": (lambda: "nonsense", "invalid_token", 4501),
    "expired": (lambda: signed(exp=int(time.time()) - 1), "token_expired", 4440),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_token_in_the_header(kind: str, hub: HubServer) -> None:
    """C-CON-2, C-ACL-3: closed with the reason, and not a word before."""
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
        said = await client.request("authenticate", token=make(), request_id="r")
        assert (said["code"], said["request_id"]) == (error, "r")
        assert await client.closed() == code


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_token_over_http(kind: str, native: HubServer) -> None:
    """H-GEN-1: nor does it get a ticket."""
    make, error, _ = BAD[kind]
    async with asking(native, make()) as client:
        for answer in (
            await client.post("/api/tickets"),
            await client.get("/api/plans/p"),
            await client.get("/api/plans/p/stream"),
            await client.get("/api/plans/p/events"),
            await client.post("/api/plans/p/events", json={"type": "plan_update", "data": {}}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (401, error)


async def test_no_token_over_http(native: HubServer) -> None:
    async with asking(native) as client:
        answers = [await client.get(path) for path in ("/api/plans", "/api/plans/p", "/api/plans/p/stream")]
    assert [answer.status_code for answer in answers] == [401, 401, 401]


async def test_a_ticket_is_good_once_also_for_those_who_come_at_once(hub: HubServer) -> None:
    """H-TKT-1"""
    good = ticket()
    clients = await asyncio.gather(*(dial(hub.ws, ticket=good) for _ in range(8)))
    heard = [await client.receive_raw() for client in clients]
    for client in clients:
        client.reset()
    assert Counter(opcode for opcode, _ in heard) == {TEXT: 1, CLOSE: 7}
    assert {int.from_bytes(payload[:2], "big") for opcode, payload in heard if opcode == CLOSE} == {4440}
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
    """H-TKT-1: from the hub itself, and used twice."""
    async with asking(native, token()) as client:
        issued = (await client.post("/api/tickets")).json()["ticket"]
    shown.append(issued)
    async with asking(native) as client:
        first = await client.get("/api/plans", params={"ticket": issued})
        again = await client.get("/api/plans/p/stream", params={"ticket": issued})
    assert first.status_code == 200
    assert (again.status_code, again.json()["code"]) == (401, "token_expired")


# --- what they may do


async def test_a_plan_that_is_not_theirs(hub: HubServer) -> None:
    """C-ACL-1: the same answer, whether or not there is such a plan."""
    async with Broadcaster(hub.log) as broadcaster:
        await broadcaster.send_plan_update("theirs.secret", title="Nobody else's business")
    async with dialled(hub.ws, token=token({"mine.*": ["read"], "theirs": ["read"]})) as client:
        await client.receive_until("connected")
        for plan_id in ("theirs.secret", "theirs.nothing", "~plancast.tickets", "mine"):
            for asked in (
                {"kind": "subscribe_plan"},
                {"kind": "plan_input", "request_id": "r", "answer": 1},
                {"kind": "plan_signal", "signal": "cancel"},
            ):
                said = await client.request(plan_id=plan_id, **asked)
                assert said["code"] == "forbidden", said
                assert "Nobody" not in json.dumps(said)
        assert (await client.request("subscribe_plan", plan_id="mine.too"))["type"] == "subscription_confirmed"


async def test_a_plan_that_is_not_theirs_over_http(native: HubServer) -> None:
    """H-GEN-3"""
    async with asking(native, token({"mine.*": ["read"]})) as client:
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
    async with asking(native, token(), Origin="http://evil.example") as client:
        answers = [await client.get(path) for path in ("/api/plans", "/api/plans/p/stream", "/api/plans/p/events")]
        answers.append(await client.post("/api/tickets"))
    assert [answer.status_code for answer in answers] == [403] * 4


@pytest.mark.parametrize("origin", [None, "own"])
async def test_a_name_of_the_outside_world_that_points_to_a_developers_machine(
    origin: str | None, development: HubServer
) -> None:
    """DNS rebinding: to the browser that page is the hub's own, so only the name tells."""
    name = f"evil.example:{development.port}"
    headers = {"Origin": f"http://{name}"} if origin else {}
    async with dialled(development.ws, raw_host=name, **headers) as client:
        assert await client.closed() == 4504
    async with asking(development, Host=name, **headers) as client:
        answers = [await client.get(path) for path in ("/api/plans", "/api/plans/p/stream", "/api/plans/p/events")]
        answers.append(await client.post("/api/test/streaming/p"))
    assert [answer.status_code for answer in answers] == [403] * 4
    async with asking(development) as client:
        assert (await client.get("/api/plans")).status_code == 200


# --- what becomes of tokens


async def test_before_a_token_came(hub: HubServer) -> None:
    """C-AUT-1, C-LIM-5: everything but `ping` and `authenticate` has to wait, and there is not much patience."""
    async with dialled(hub.ws) as client:
        await client.receive_until("connected")
        for asked in ({"kind": "subscribe_plan"}, {"kind": "unsubscribe_plan"}):
            assert (await client.request(plan_id="p", **asked))["code"] == "unauthenticated"
        assert (await client.request("ping", nonce="1"))["type"] == "pong"
        for _ in range(20):
            await client.send_json("ping", padding="x" * 1000)
        assert await client.closed() == 4429


async def test_a_token_that_expires(hubs: Mapping[str, HubServer]) -> None:
    """C-AUT-8, C-AUT-2, C-AUT-6, C-ACL-2"""
    async with asyncio.TaskGroup() as all_at_once:
        for one in (followed_by_another(hubs["native"]), followed_by_another(hubs["asgi"]), by_none(hubs["hurried"])):
            all_at_once.create_task(one)


async def followed_by_another(hub: HubServer) -> None:
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


async def by_none(hurried: HubServer) -> None:
    async with dialled(hurried.ws, token=token(seconds=2)) as client:
        await client.receive_until("error")
        assert await client.closed() == 4440


# --- what they say

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
    "bytes that are no text": (frame(b'{"type":"\xff"}'), 1007),
    "half a character": (frame(b'{"type":"\xe2\x82'), 1007),
    "half a character, and the rest is none": (frame(b"\xe2\x82", fin=False) + frame(b"x", CONT), 1007),
    "no mask": (frame(b"{}", masked=False), 1002),
    "reserved bits": (frame(b"{}", reserved=4), 1002),
    "an unknown opcode": (frame(b"{}", 0x3), 1002),
    "an unknown control opcode": (frame(b"", 0xB), 1002),
    "a continuation of nothing": (frame(b"{}", CONT), 1002),
    "a message in the midst of another": (frame(b"{", fin=False) + frame(b"{}"), 1002),
    "a ping in fragments": (frame(b"x", PING, fin=False), 1002),
    "a ping of 126 bytes": (frame(b"x" * 126, PING), 1002),
    "a close with a code that is none": (frame((999).to_bytes(2, "big"), CLOSE), 1002),
    "a close with half a code": (frame(b"x", CLOSE), 1002),
}


async def test_frames_that_are_none(hub: HubServer) -> None:
    """C-FRM-5, C-LIM-1"""
    good = token()
    async with unharmed(hub, f"{len(FRAMES)} broken frames", token=good, connections=len(FRAMES)):
        for what, (data, code) in FRAMES.items():
            async with dialled(hub.ws, token=good) as client:
                await client.receive_until("connected")
                await client.send(data)
                assert await client.closed() == code, what


async def test_a_character_in_two_fragments_is_one(hub: HubServer) -> None:
    said = json.dumps({"type": "ping", "nonce": "€"}, ensure_ascii=False).encode()
    async with dialled(hub.ws, token=token()) as client:
        await client.receive_until("connected")
        middle = said.index("€".encode()) + 1
        await client.send(frame(said[:middle], fin=False) + frame(b"", PING) + frame(said[middle:], CONT))
        assert (await client.receive())["nonce"] == "€"


async def test_frames_that_make_no_sense(hub: HubServer) -> None:
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


# --- how much they say


async def flood(client: RawSocket, data: bytes, times: int) -> None:
    """As much as it takes, until it is all said or the line is gone."""
    for _ in range(times):
        if not await client.send(data):
            return


def heard_of(answers: list[dict[str, Any]]) -> Counter[str]:
    return Counter(said.get("code", said["type"]) for said in answers)


async def until_closed(client: RawSocket) -> tuple[list[dict[str, Any]], int]:
    """Everything that came, and the close code."""
    heard: list[dict[str, Any]] = []
    while (said := await client.next()) is not None:
        heard.append(said)
    assert client.code is not None
    return heard, client.code


async def test_ten_thousand_subscriptions(hub: HubServer) -> None:
    """C-LIM-2, C-LIM-4"""
    good = token()
    asked = [frame(b'{"type":"subscribe_plan","plan_id":"many.%d"}' % n) for n in range(10_000)]
    async with unharmed(hub, "10,000 subscriptions", token=good, plans=256), dialled(hub.ws, token=good) as client:
        await client.receive_until("connected")
        await client.send(b"".join(asked[:256]))
        for _ in range(256):
            assert (await client.receive())["type"] == "subscription_confirmed"
        sending = asyncio.create_task(client.send(b"".join(asked[256:])))
        heard, code = await until_closed(client)
        client.reset()
        await sending
    assert code == 4429
    assert heard_of(heard).keys() == {"too_many_subscriptions"}
    assert len(heard) >= 256


async def storm(hub: HubServer, shows: str) -> None:
    turn = frame(b'{"type":"subscribe_plan","plan_id":"storm","since":"start"}')
    turn += frame(b'{"type":"unsubscribe_plan","plan_id":"storm"}')
    async with dialled(hub.ws, token=shows) as client:
        await client.receive_until("connected")
        sending = asyncio.create_task(flood(client, turn * 100, 100))
        heard, code = await until_closed(client)
        client.reset()
        await sending
    assert code == 4429
    assert heard_of(heard)["unsubscription_confirmed"] >= 256


async def test_subscribing_and_unsubscribing_without_end(hub: HubServer) -> None:
    """C-LIM-4: with answers, until the burst is used up."""
    good = token()
    async with unharmed(hub, "5 storms of subscriptions", token=good, connections=5):
        await asyncio.gather(*(storm(hub, good) for _ in range(5)))


FLOODS: Final[Mapping[str, tuple[bytes, int]]] = {
    "pings": (frame(b"", PING), 4429),
    "pongs that nobody asked for": (frame(b"x" * 125, PONG), 4429),
    "empty fragments": (frame(b"", CONT, fin=False), 1009),
    "empty messages": (frame(b""), 4500),
    "messages": (frame(b'{"type":"ping"}'), 4429),
    "nonsense of a newer client": (frame(b'{"type":"dance"}'), 4429),
}


async def drown(hub: HubServer, shows: str, what: str, *, reading: bool) -> None:
    piece, code = FLOODS[what]
    async with dialled(hub.ws, token=shows) as client:
        await client.send(frame(fin=False) if what == "empty fragments" else b"")
        sending = asyncio.create_task(flood(client, piece * 1000, 500 if reading else 1_000_000))
        if reading:
            assert await client.closed() == code, what
            client.reset()
        async with asyncio.timeout(30):
            await sending


async def test_floods(native: HubServer) -> None:
    """C-LIM-1, C-LIM-4: hundreds of thousands of frames, as fast as they go."""
    good = token()
    async with unharmed(native, f"{len(FLOODS)} floods", token=good, connections=len(FLOODS)):
        await asyncio.gather(*(drown(native, good, what, reading=True) for what in FLOODS))


async def test_floods_by_those_who_read_nothing(hurried: HubServer) -> None:
    """The line is cut, and until then next to nothing of it is even looked at."""
    good = token()
    async with unharmed(hurried, f"{len(FLOODS)} floods, nothing read", token=good, connections=len(FLOODS)):
        await asyncio.gather(*(drown(hurried, good, what, reading=False) for what in FLOODS))


BEGUN: Final = b"GET /ws/streaming HTTP/1.1\r\nHost: 127.0.0.1\r\n"
NEVER_WHOLE: Final[Mapping[str, tuple[bytes, bytes, bytes]]] = {
    "nothing": (b"", b"", b""),
    "half a line": (b"GET /ws/stre", b"", b"HTTP/1.1 408 "),
    "drop by drop": (BEGUN, b"X-Another: header\r\n", b"HTTP/1.1 408 "),
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
        b"",  # it was answered in time, and is then cut off in the midst of a word
    ),
}
"""How it begins, what comes then, drop by drop, and how it is answered if at all."""


async def dawdle(hub: HubServer, what: str) -> None:
    begin, drop, answer = NEVER_WHOLE[what]
    async with connected(hub.port) as line, asyncio.timeout(30):
        await line.send(begin)
        ending = asyncio.create_task(line.until_eof())
        while not ending.done():
            await line.send(drop)
            await asyncio.wait([ending], timeout=0.2)
        heard = ending.result()
    assert heard[: len(answer)] == answer, what
    assert answer or heard[:13] in (b"", b"HTTP/1.1 200 "), what


async def test_requests_that_never_become_whole(hurried: HubServer) -> None:
    """None of them is waited for long."""
    many = [what for what in NEVER_WHOLE for _ in range(20)]
    async with unharmed(hurried, f"{len(many)} requests that never become whole", token=token(), connections=len(many)):
        await asyncio.gather(*(dawdle(hurried, what) for what in many))


@pytest.mark.slow
async def test_all_of_it_at_once_and_again(hurried: HubServer) -> None:
    """Memory does not grow from round to round."""
    good, rounds = token(), 12
    each = 4 * len(FLOODS) + 5 + 3 * len(NEVER_WHOLE)
    async with unharmed(hurried, f"{rounds} rounds of {each} attacks at once", token=good, connections=each):
        for _ in range(rounds):
            attacks = [drown(hurried, good, what, reading=reading) for what in FLOODS for reading in (True, False) * 2]
            attacks += [storm(hurried, good) for _ in range(5)]
            attacks += [dawdle(hurried, what) for what in NEVER_WHOLE for _ in range(3)]
            await asyncio.gather(*attacks)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (b"".join(b"X-%d: %b\r\n" % (n, b"x" * 50) for n in range(20_000)), 431),
        (b"X-Long: " + b"x" * 2_000_000, 431),
        (b"X-Few: but long %b\r\n\r\n" % (b"x" * 20_000), 431),
        (b"".join(b"X-%d: many\r\n" % n for n in range(1000)) + b"\r\n", 431),
    ],
    ids=["a million bytes", "one without end", "one of 20 KB", "a thousand"],
)
async def test_headers_beyond_measure(more: bytes, status: int, native: HubServer) -> None:
    async with unharmed(native, "a flood of headers", token=token()), connected(native.port) as line:
        sending = asyncio.create_task(line.send(handshake(native.ws, {})[:-2] + more))
        assert (await line.until_eof()).startswith(b"HTTP/1.1 %d " % status)
        await sending


async def test_the_hubs_own_path_however_it_is_spelled(native: HubServer) -> None:
    """It must not lead around the native transport, nor to a place without its bounds."""
    before = native.metric("plancast_connections_opened_total", transport="asgi")
    for path in ("/ws/%73treaming", "/%77s/streaming", "/ws%2Fstreaming"):
        async with dialled(native.ws.replace("/ws/streaming", path), token=token()) as client:
            await client.receive_until("connected")
    assert native.metric("plancast_connections_opened_total", transport="asgi") == before


async def test_a_client_that_says_nothing_any_more(hurried: HubServer) -> None:
    """C-PNG-2: what half-open lines look like from here. Whoever answers pings stays."""
    good = token()
    async with (
        Broadcaster(hurried.log) as broadcaster,
        dialled(hurried.ws, token=good) as alive,
        dialled(hurried.ws, token=good) as dead,
    ):
        dead.answers_pings = False
        await alive.send_json("subscribe_plan", plan_id="silence")
        staying = asyncio.create_task(alive.receive_until("plan_update"))
        assert await dead.closed() == 1006
        await broadcaster.send_plan_update("silence")
        assert (await staying)["offset"] == 1


# --- names


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


async def test_names_that_are_none_reach_no_key_and_no_pattern(development: HubServer, redis: RedisServer) -> None:
    """C-BAD-5: on Redis, where a name becomes part of keys and channels."""
    keys = set(redis.call("KEYS", "*"))
    async with dialled(development.ws) as client, asking(development) as http:
        await client.receive_until("connected")
        for plan_id in HOSTILE:
            for kind in ("subscribe_plan", "unsubscribe_plan", "plan_signal", "plan_input"):
                said = await client.request(kind, plan_id=plan_id, request_id="r", signal="cancel", answer=1)
                assert said["code"] == "invalid_plan_id", (plan_id, said)
                await client.request("ping")  # so that it is not taken for a stranger
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


# --- afterwards


def test_those_who_never_said_who_they_are_were_sent_away(loiterers: Mapping[str, list[socket.socket]]) -> None:
    """C-AUT-7"""
    for kind, sockets in loiterers.items():
        for one in sockets:
            heard = b""
            while b"\x88" not in heard and (more := one.recv(65536)):
                heard += more
            assert (4501).to_bytes(2, "big") in heard[heard.index(b"\x88") :], kind


async def test_no_token_and_no_ticket_is_in_the_logs(hubs: Mapping[str, HubServer]) -> None:
    for kind, hub in hubs.items():
        async with dialled(hub.ws, token=token()):
            pass
        async with dialled(hub.ws, ticket=ticket()):
            pass
        said = hub.output
        assert not [one for one in (*shown, SECRET) if one in said], kind
        assert hub.alive
    for kind in ("native", "hurried", "development"):
        assert hubs[kind].logged("error") == hubs[kind].logged("critical") == [], hubs[kind].output[-3000:]
