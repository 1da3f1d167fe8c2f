"""The public keys of the tokens' issuer, fetched from a real server on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from hub.access.auth import AuthenticationUnavailable, Authenticator, TokenInvalid
from hub.access.jwks import MAX_BYTES, PAUSE
from hub.config.settings import load
from hub.wire.codes import ErrorCode
from tests.hub.tokens import CLAIMS, NOW, b64, token


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def member(key: Any, alg: str, kid: str = "k1") -> dict[str, Any]:
    """A public key as a JWKS lists it."""
    listed = json.loads(get_default_algorithms()[alg].to_jwk(key.public_key()))
    return {**listed, "kid": kid}


class Issuer:
    """A real HTTP server on loopback that serves a key set, invalid ones too."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.body: bytes | None = None
        self.status = 200
        self.asked = 0
        self.came = asyncio.Event()
        self.url = ""
        self.hold = asyncio.Event()
        self.hold.set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.asked += 1
                self.came.set()
                await self.hold.wait()
                body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
                head = f"HTTP/1.1 {self.status} Whatever\r\nContent-Length: {len(body)}\r\n"
                writer.write(head.encode() + b"Location: http://127.0.0.1:1/\r\n\r\n" + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Issuer]:
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
        try:
            yield self
        finally:
            self.hold.set()
            server.close()


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer().serve() as issuer:
        yield issuer


@asynccontextmanager
async def trusting(source: str, alg: str, clock: Clock | None = None) -> AsyncIterator[Authenticator]:
    who = Authenticator(
        load({"PLANCAST_AUTH_JWKS": source, "PLANCAST_AUTH_ALGORITHM": alg, "PLANCAST_AUTH_AUDIENCE": "plancast"}),
        clock or Clock(),
    )
    try:
        yield who
    finally:
        await who.close()


HERE = CLAIMS | {"aud": "plancast"}


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
async def test_public_keys_are_fetched_once_and_then_cached(
    issuer: Issuer, rsa_key: rsa.RSAPrivateKey, alg: str
) -> None:
    makers = {"ES256": lambda: ec.generate_private_key(ec.SECP256R1()), "EdDSA": ed25519.Ed25519PrivateKey.generate}
    key: Any = makers[alg]() if alg in makers else rsa_key
    issuer.keys = [member(key, alg)]
    signed = token(HERE, key, alg, kid="k1")
    async with trusting(issuer.url, alg) as who:
        assert who.at_once(signed, NOW) is None
        everybody = await asyncio.gather(*(who.authenticate(signed, NOW) for _ in range(20)))
        assert {principal.subject for principal in everybody} == {"ada"}
        assert who.at_once(signed, NOW) == everybody[0]
        assert (
            await who.authenticate(token(HERE, key, alg), NOW)
        ).subject == "ada"  # a token need not name the only key
    assert issuer.asked == 1


async def test_rs256_is_the_default_for_a_key_set(issuer: Issuer, rsa_key: rsa.RSAPrivateKey) -> None:
    issuer.keys = [member(rsa_key, "RS256")]
    who = Authenticator(load({"PLANCAST_AUTH_JWKS": issuer.url, "PLANCAST_AUTH_AUDIENCE": "plancast"}))
    assert (await who.authenticate(token(HERE, rsa_key, "RS256"), NOW)).subject == "ada"
    await who.close()


async def test_closing_cancels_a_running_read(issuer: Issuer, rsa_key: rsa.RSAPrivateKey) -> None:
    issuer.hold.clear()
    others = asyncio.all_tasks()
    async with trusting(issuer.url, "RS256") as who:
        asking = asyncio.create_task(who.authenticate(token(HERE, rsa_key, "RS256", kid="k1"), NOW))
        await issuer.came.wait()
        reading = [task for task in asyncio.all_tasks() - others - {asking} if "Jwks" in repr(task)]
        assert reading
    assert [task.done() for task in reading] == [True]
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_an_unknown_key_is_looked_for_but_not_for_every_token(issuer: Issuer, rsa_key: rsa.RSAPrivateKey) -> None:
    clock = Clock()
    issuer.keys = [member(rsa_key, "RS256", "old")]
    signed = token(HERE, rsa_key, "RS256", kid="new")
    async with trusting(issuer.url, "RS256", clock) as who:
        for _ in range(50):
            with pytest.raises(TokenInvalid):
                await who.authenticate(signed, NOW)
        assert issuer.asked == 1
        issuer.keys.append(member(rsa_key, "RS256", "new"))
        clock.now += PAUSE
        assert (await who.authenticate(signed, NOW)).subject == "ada"
    assert issuer.asked == 2


async def test_known_keys_are_kept_while_the_issuer_is_away_for_a_day(
    issuer: Issuer, rsa_key: rsa.RSAPrivateKey
) -> None:
    clock = Clock()
    issuer.keys = [member(rsa_key, "RS256")]
    signed = token(HERE, rsa_key, "RS256", kid="k1")
    async with trusting(issuer.url, "RS256", clock) as who:
        await who.authenticate(signed, NOW)
        issuer.status = 500
        clock.now += 3600
        assert who.at_once(signed, NOW) is not None
        assert (await who.authenticate(signed, NOW)).subject == "ada"
        clock.now += 86_400
        with pytest.raises(AuthenticationUnavailable) as refused:
            await who.authenticate(signed, NOW)
        assert refused.value.code is ErrorCode.UNAVAILABLE
        issuer.status = 200
        clock.now += PAUSE
        assert (await who.authenticate(signed, NOW)).subject == "ada"


async def test_keys_are_refreshed_in_the_background(issuer: Issuer, rsa_key: rsa.RSAPrivateKey) -> None:
    clock = Clock()
    issuer.keys = [member(rsa_key, "RS256")]
    signed = token(HERE, rsa_key, "RS256", kid="k1")
    async with trusting(issuer.url, "RS256", clock) as who:
        await who.authenticate(signed, NOW)
        issuer.keys = [member(rsa.generate_private_key(65537, 2048), "RS256", "k2")]
        clock.now += 601
        assert who.at_once(signed, NOW) is not None
        with pytest.raises(TokenInvalid):
            await who.authenticate(token(HERE, rsa_key, "RS256", kid="k3"), NOW)  # waits for the same read
        assert who.at_once(signed, NOW) is None
    assert issuer.asked == 2


async def test_a_cancelled_caller_does_not_affect_the_others(issuer: Issuer, rsa_key: rsa.RSAPrivateKey) -> None:
    issuer.keys = [member(rsa_key, "RS256")]
    issuer.hold.clear()
    signed = token(HERE, rsa_key, "RS256", kid="k1")
    async with trusting(issuer.url, "RS256") as who:
        first, second = (asyncio.create_task(who.authenticate(signed, NOW)) for _ in range(2))
        await asyncio.wait_for(issuer.came.wait(), 20)
        first.cancel()
        issuer.hold.set()
        assert (await second).subject == "ada"
        assert first.cancelled()


def bad_answers(issuer: Issuer, key: rsa.RSAPrivateKey) -> Iterator[None]:
    """Responses without a usable key for RS256."""
    issuer.status = 302
    yield
    issuer.status = 200
    for body in (b"", b"null", b"[]", b'{"keys": 7}', b'{"keys": {}}', b"[" * 5000, b"\xff", b" " * (MAX_BYTES + 1)):
        issuer.body = body
        yield
    issuer.body = None
    small = rsa.generate_private_key(65537, 1024)
    unusable: tuple[list[Any], ...] = (
        [],
        [7, None, "k"],
        [member(key, "RS256") | {"use": "enc"}],
        [member(key, "RS256") | {"alg": "RS512"}],
        [json.loads(get_default_algorithms()["RS256"].to_jwk(key)) | {"kid": "k1", "key_ops": ["verify"]}],
        [member(key, "RS256") | {"n": "!"}],
        [member(key, "RS256") | {"kid": 7}],
        [member(small, "RS256")],
        [member(ec.generate_private_key(ec.SECP256R1()), "ES256")],
        [{"kty": "oct", "k": b64(b"x" * 40), "kid": "k1"}],
        [{}],
    )
    for issuer.keys in unusable:
        yield


async def test_an_issuer_that_lists_nothing_usable_is_tried_again(issuer: Issuer, rsa_key: rsa.RSAPrivateKey) -> None:
    clock = Clock()
    signed = token(HERE, rsa_key, "RS256", kid="k1")
    async with trusting(issuer.url, "RS256", clock) as who:
        for count, _ in enumerate(bad_answers(issuer, rsa_key), 1):
            with pytest.raises(AuthenticationUnavailable):
                await who.authenticate(signed, NOW)
            assert issuer.asked == count
            clock.now += PAUSE
        issuer.keys = [member(rsa_key, "RS256", "k1"), {"kty": "oct", "k": b64(b"x" * 40), "kid": "k2"}]
        assert (await who.authenticate(signed, NOW)).subject == "ada"


async def test_a_public_key_is_not_taken_for_a_shared_secret(issuer: Issuer, rsa_key: rsa.RSAPrivateKey) -> None:
    issuer.keys = [member(rsa_key, "RS256"), member(ec.generate_private_key(ec.SECP256R1()), "ES256", "k2")]
    async with trusting(issuer.url, "RS256") as who:
        confused = token(HERE, issuer.keys[0]["n"], "HS256", kid="k1")
        for signed in (confused, token(HERE, "x" * 40, "HS256", kid="k2"), token(HERE, rsa_key, "RS512", kid="k1")):
            with pytest.raises(TokenInvalid):
                await who.authenticate(signed, NOW)


async def test_among_several_keys_a_token_must_name_its_own(issuer: Issuer, rsa_key: rsa.RSAPrivateKey) -> None:
    issuer.keys = [member(rsa_key, "RS256", "k1"), member(rsa.generate_private_key(65537, 2048), "RS256", "k2")]
    async with trusting(issuer.url, "RS256") as who:
        assert (await who.authenticate(token(HERE, rsa_key, "RS256", kid="k1"), NOW)).subject == "ada"
        for nameless_or_wrong in (token(HERE, rsa_key, "RS256"), token(HERE, rsa_key, "RS256", kid="k2")):
            with pytest.raises(TokenInvalid):
                await who.authenticate(nameless_or_wrong, NOW)


async def test_keys_from_a_file_are_read_again_when_they_change(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> None:
    file, clock = tmp_path / "keys.json", Clock()
    signed = token(HERE, rsa_key, "RS256", kid="k1")
    async with trusting(str(file), "RS256", clock) as who:
        with pytest.raises(AuthenticationUnavailable):
            await who.authenticate(signed, NOW)
        file.write_text(json.dumps({"keys": [member(rsa_key, "RS256")]}))
        clock.now += PAUSE
        assert (await who.authenticate(signed, NOW)).subject == "ada"
