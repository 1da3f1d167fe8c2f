"""Verification of tokens: which are accepted, and which are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.access.auth import (
    MAX_TOKEN_BYTES,
    AuthenticationFailed,
    Authenticator,
    TokenExpired,
    TokenInvalid,
    mint,
    refusal_to_bind,
)
from hub.access.principal import InvalidGrants
from hub.config.settings import BadSetting, Settings, load
from hub.wire.codes import CloseCode, ErrorCode
from tests.hub.tokens import CLAIMS, NOW, SECRET, b64, token


def settings(**more: str) -> Settings:
    return load({"PLANCAST_AUTH_SECRET": SECRET} | {f"PLANCAST_{name}": value for name, value in more.items()})


def whose(text: str, now: float = NOW, more: Mapping[str, str] = MappingProxyType({})) -> str:
    principal = Authenticator(settings(**more)).at_once(text, now)
    assert principal is not None
    return principal.subject


def refusal(text: str, now: float = NOW, more: Mapping[str, str] = MappingProxyType({})) -> AuthenticationFailed:
    with pytest.raises(AuthenticationFailed) as refused:
        Authenticator(settings(**more)).at_once(text, now)
    return refused.value


def test_a_valid_token_gives_subject_rights_and_expiry() -> None:
    principal = Authenticator(settings()).at_once(token(CLAIMS), NOW)
    assert principal is not None
    assert (principal.subject, principal.expires_at) == ("ada", NOW + 60 + 5)
    assert principal.may("read", "plan-1")
    assert not principal.may("input", "plan-1")


async def test_authenticating_with_and_without_waiting_gives_the_same_principal() -> None:
    who = Authenticator(settings())
    assert await who.authenticate(token(CLAIMS), NOW) == who.at_once(token(CLAIMS), NOW)


def forged() -> Iterator[tuple[str, str]]:
    """Tokens that were not made with the secret."""
    good = token(CLAIMS)
    header, payload, signature = good.split(".")
    yield "unsigned", f"{b64({'alg': 'none', 'typ': 'JWT'})}.{payload}."
    yield "none in capitals", f"{b64({'alg': 'NONE'})}.{payload}.{signature}"
    yield "no signature", f"{header}.{payload}."
    yield "another secret", token(CLAIMS, "x" * 40)
    yield "an empty secret's", f"{header}.{payload}.{b64(b'')}"
    yield "changed", f"{header}.{b64(CLAIMS | {'sub': 'eve'})}.{signature}"
    yield "another algorithm of the same secret", token(CLAIMS, SECRET * 2, "HS512")
    yield "key in the header", token(CLAIMS, "x" * 40, jwk={"kty": "oct", "k": b64(b"x" * 40)})
    yield "address of a key", token(CLAIMS, "x" * 40, jku="http://127.0.0.1:1/keys")
    yield "address of a certificate", token(CLAIMS, "x" * 40, x5u="http://127.0.0.1:1/cert")
    yield "detached", jwt.api_jws.encode(json.dumps(CLAIMS).encode(), SECRET, "HS256", is_payload_detached=True)
    yield "asks for what we don't know", token(CLAIMS, crit=["exp"])
    yield "kid is no string", f"{b64({'alg': 'HS256', 'kid': 7})}.{payload}.{signature}"
    yield "empty", ""
    yield "dots", ".."
    yield "no base64", "a.b.c"
    yield "not ASCII", "ä.ö.ü"
    yield "half a surrogate", "\ud800.a.b"
    yield "deep header", f"{b64(b'[' * 3000)}.{payload}.{signature}"
    long = b'{"n":' + b"9" * 5000 + b"}"
    yield "long integer in the header", f"{b64(long)}.{payload}.{signature}"


@pytest.mark.parametrize(("text"), [pytest.param(text, id=name) for name, text in forged()])
def test_a_forged_token_is_refused_without_a_detail(text: str) -> None:
    refused = refusal(text)
    assert isinstance(refused, TokenInvalid)
    assert (refused.code, refused.close) == (ErrorCode.INVALID_TOKEN, CloseCode.UNAUTHENTICATED)
    assert str(refused) == str(refusal("nonsense"))


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": None}, "`exp`"),
        ({"sub": None}, "`sub`"),
        ({"sub": 7}, "`sub`"),
        ({"sub": ""}, "`sub`"),
        ({"sub": "a" * 257}, "`sub`"),
        ({"sub": "ada\nroot"}, "`sub`"),
        ({"sub": "\ud800"}, "`sub`"),
        ({"exp": "tomorrow"}, "`exp`"),
        ({"exp": True}, "`exp`"),
        ({"exp": float("nan")}, "`exp`"),
        ({"exp": float("inf")}, "`exp`"),
        ({"exp": 10**400}, "`exp`"),
        ({"exp": -1}, "`exp`"),
        ({"nbf": "now"}, "`nbf`"),
        ({"nbf": NOW + 6}, "valid"),
        ({"aud": "elsewhere"}, "another audience"),
        ({"plans": ["plan-1"]}, "plans: "),
        ({"plans": {"plan-1": ["fly"]}}, "'fly'"),
    ],
)
def test_a_signed_token_with_invalid_claims_is_refused_with_the_reason(claims: dict[str, Any], said: str) -> None:
    signed = token({name: value for name, value in (CLAIMS | claims).items() if value is not None})
    refused = refusal(signed)
    assert isinstance(refused, TokenInvalid)
    assert said in str(refused)


def test_an_expired_token_has_an_error_of_its_own() -> None:
    refused = refusal(token(CLAIMS), now=NOW + 65)
    assert isinstance(refused, TokenExpired)
    assert (refused.code, refused.close) == (ErrorCode.TOKEN_EXPIRED, CloseCode.TOKEN_EXPIRED)


def test_clocks_may_differ_by_the_leeway_and_no_more() -> None:
    assert whose(token(CLAIMS), now=NOW + 64.9) == "ada"
    assert whose(token(CLAIMS | {"nbf": NOW + 4.9})) == "ada"
    assert isinstance(refusal(token(CLAIMS), now=NOW + 60, more={"AUTH_LEEWAY": "0"}), TokenExpired)


@pytest.mark.parametrize(
    ("refused", "logged"),
    [
        (TokenInvalid("no"), ["a client was refused: no"]),
        (TokenExpired("the token expired"), []),
        (TokenExpired("used already", "a ticket was used twice"), ["a client was refused: a ticket was used twice"]),
    ],
)
def test_unusual_refusals_are_logged(
    caplog: pytest.LogCaptureFixture, refused: AuthenticationFailed, logged: list[str]
) -> None:
    refused.log()
    assert caplog.messages == logged


def test_a_forged_token_is_invalid_before_it_is_expired() -> None:
    assert isinstance(refusal(token(CLAIMS, "x" * 40), now=NOW + 1000), TokenInvalid)


@pytest.mark.parametrize(
    ("claims", "more", "said"),
    [
        ({"aud": "plancast"}, {"AUTH_AUDIENCE": "plancast"}, None),
        ({"aud": ["a", "plancast"]}, {"AUTH_AUDIENCE": "plancast"}, None),
        ({"aud": "other"}, {"AUTH_AUDIENCE": "plancast"}, "another audience"),
        ({"aud": []}, {"AUTH_AUDIENCE": "plancast"}, "no `aud`"),
        ({}, {"AUTH_AUDIENCE": "plancast"}, "no `aud`"),
        ({"iss": "https://id.example.org"}, {"AUTH_ISSUER": "https://id.example.org"}, None),
        ({"iss": "https://evil.example.org"}, {"AUTH_ISSUER": "https://id.example.org"}, "another issuer"),
        ({}, {"AUTH_ISSUER": "https://id.example.org"}, "`iss`"),
        ({"iss": "anybody"}, {}, None),
    ],
)
def test_audience_and_issuer(claims: dict[str, Any], more: dict[str, str], said: str | None) -> None:
    if said is None:
        assert whose(token(CLAIMS | claims), more=more) == "ada"
    else:
        assert said in str(refusal(token(CLAIMS | claims), more=more))


def test_a_token_has_a_largest_size() -> None:
    large = token(CLAIMS | {"padding": "x" * MAX_TOKEN_BYTES})
    assert "8,192 bytes" in str(refusal(large))


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: f"{b64(raw)}.{b64(raw)}.{b64(raw)}"))
def test_no_text_makes_verification_raise_another_error(text: str) -> None:
    assert isinstance(refusal(text), TokenInvalid)


@given(
    st.dictionaries(
        st.sampled_from(["alg", "kid", "crit", "b64", "typ", "jku"]),
        st.none() | st.text() | st.integers() | st.booleans() | st.lists(st.text()),
    )
)
def test_no_header_makes_verification_raise_another_error(header: dict[str, Any]) -> None:
    assert isinstance(refusal(f"{b64(header)}.{b64(CLAIMS)}.{b64(b'x')}"), TokenInvalid)


# -- a secret, or none -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"AUTH_SECRET": "x" * 31}, "got 31 bytes"),
        ({"AUTH_SECRET": "x" * 32, "AUTH_JWKS": "/keys"}, "PLANCAST_AUTH_JWKS"),
        ({"AUTH_SECRET": "x" * 32, "AUTH_ALGORITHM": "RS256"}, "PLANCAST_AUTH_JWKS"),
        ({"AUTH_ALGORITHM": "HS256"}, "PLANCAST_AUTH_SECRET"),
        ({"AUTH_JWKS": "/keys", "AUTH_AUDIENCE": "x", "AUTH_ALGORITHM": "HS256"}, "PLANCAST_AUTH_SECRET"),
        ({"AUTH_JWKS": "/keys", "AUTH_AUDIENCE": "x", "AUTH_ALGORITHM": "none"}, "'none'"),
        ({"AUTH_JWKS": "/keys"}, "PLANCAST_AUTH_AUDIENCE"),
        ({"AUTH_JWKS": "http://id.example.org/keys", "AUTH_AUDIENCE": "x"}, "PLANCAST_AUTH_JWKS"),
        ({"AUTH_JWKS": "ftp://id.example.org/keys", "AUTH_AUDIENCE": "x"}, "PLANCAST_AUTH_JWKS"),
        ({"AUTH_SECRET": f"-----BEGIN PUBLIC KEY-----\n{'x' * 40}\n-----END PUBLIC KEY-----"}, "PLANCAST_AUTH_SECRET"),
    ],
)
def test_unsafe_settings_are_refused(environ: dict[str, str], said: str) -> None:
    with pytest.raises(BadSetting) as refused:
        Authenticator(load({f"PLANCAST_{name}": value for name, value in environ.items()}))
    assert said in str(refused.value)
    assert "x" * 31 not in str(refused.value)


def test_without_authentication_every_client_is_the_development_principal() -> None:
    who = Authenticator(load({}))
    assert who.anonymous is not None
    assert who.at_once("whatever a client still had", NOW) == who.anonymous
    assert Authenticator(settings()).anonymous is None


@pytest.mark.parametrize(
    ("environ", "may"),
    [
        ({}, True),
        ({"HOST": "127.0.0.2"}, True),
        ({"HOST": "::1"}, True),
        ({"HOST": "localhost"}, True),
        ({"HOST": "0.0.0.0"}, False),
        ({"HOST": "::"}, False),
        ({"HOST": "192.168.1.5"}, False),
        ({"HOST": "localhost.example.org"}, False),
        ({"HOST": "0.0.0.0", "INSECURE": "yes"}, True),
        ({"HOST": "0.0.0.0", "AUTH_SECRET": SECRET}, True),
    ],
)
def test_a_hub_without_authentication_listens_on_loopback_only(environ: dict[str, str], may: bool) -> None:
    refused = refusal_to_bind(load({f"PLANCAST_{name}": value for name, value in environ.items()}))
    assert (refused is None) is may
    assert may or "--insecure" in str(refused)


# -- minting ---------------------------------------------------------------------------------------------------------


def test_a_minted_token_is_valid_for_its_time() -> None:
    here = settings(AUTH_AUDIENCE="plancast", AUTH_ISSUER="us")
    minted = mint(here, "ada", {"plan-*": ["read", "input"]}, 3600, NOW)
    principal = Authenticator(here).at_once(minted, NOW)
    assert principal is not None
    assert principal.may("input", "plan-1")
    with pytest.raises(TokenExpired):
        Authenticator(here).at_once(minted, NOW + 3700)


def test_no_token_is_minted_that_would_be_refused() -> None:
    with pytest.raises(InvalidGrants):
        mint(settings(), "ada", {"plan-*": ["fly"]}, 60, NOW)
    with pytest.raises(TokenInvalid):
        mint(settings(), "", {}, 60, NOW)
    with pytest.raises(InvalidGrants, match="bytes"):
        mint(settings(), "ada", {f"{i:03}{'x' * 120}": ["read"] for i in range(100)}, 60, NOW)
    with pytest.raises(BadSetting, match="PLANCAST_AUTH_SECRET"):
        mint(load({}), "ada", {}, 60, NOW)
