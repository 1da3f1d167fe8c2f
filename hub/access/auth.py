"""Authentication: from a token to its principal.

A token is a JWT with `sub`, `exp` and `plans` (a map of plan-id patterns to verbs), signed with the one configured
algorithm. Nothing in a token decides how it is checked: its `alg` must be the configured one, its `kid` only selects
among the configured keys, and `jku`, `x5u` and `jwk` are ignored.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, cast

import jwt
from jwt.types import Options

from broadcasters.errors import PlancastError
from hub.access.jwks import Jwks, KeysUnreadable, unsafe_source
from hub.access.principal import Grants, InvalidGrants, Principal
from hub.config.setting_types import loopback
from hub.config.settings import BadSetting, Settings
from hub.wire.codes import CloseCode, ErrorCode

__all__ = [
    "MAX_TOKEN_BYTES",
    "AuthenticationFailed",
    "AuthenticationUnavailable",
    "Authenticator",
    "TokenExpired",
    "TokenInvalid",
    "TokenMissing",
    "mint",
    "refusal_to_bind",
]

logger = logging.getLogger(__name__)

MAX_TOKEN_BYTES: Final = 8 * 1024
MAX_TIME: Final = 253_402_300_799  # the end of the year 9999, the last that date libraries can write
_OPTIONS: Final[Options] = {
    "require": ["exp", "sub"],
    "verify_exp": False,  # times are checked below: PyJWT reads the clock itself
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
}


class AuthenticationFailed(PlancastError):
    """The client could not be authenticated. The message is for the client and reveals nothing else; `detail` is for the
    logs."""

    code: ClassVar[ErrorCode] = ErrorCode.INVALID_TOKEN
    close: ClassVar[CloseCode] = CloseCode.UNAUTHENTICATED
    status: ClassVar[int] = 401

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail or message

    def log(self) -> None:
        """Log a warning if `detail` says more than the message, or if the operator may have to fix something."""
        if self.code is ErrorCode.INVALID_TOKEN or self.detail != str(self):
            logger.warning("a client was refused: %s", self.detail)


class TokenMissing(AuthenticationFailed):
    """The request has no token."""

    code = ErrorCode.UNAUTHENTICATED


class TokenInvalid(AuthenticationFailed):
    """The token is not valid for this hub, and never will be."""


class TokenExpired(AuthenticationFailed):
    """The token was valid once; the client needs a new one."""

    code = ErrorCode.TOKEN_EXPIRED
    close = CloseCode.TOKEN_EXPIRED


class AuthenticationUnavailable(AuthenticationFailed):
    """The token can't be checked now; the client may retry with the same one."""

    code = ErrorCode.UNAVAILABLE
    close = CloseCode.INTERNAL
    status = 503


class Authenticator:
    """Verifies tokens. Belongs to one event loop; `close` it.

    `now` is Unix time. Without configured authentication every client is the development principal.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.anonymous: Principal | None = None if settings.authenticated else Principal.development()
        """The principal of a client without a token; None when a token is required."""
        self._audience = settings.auth_audience
        self._issuer = settings.auth_issuer
        self._leeway = settings.auth_leeway
        self._algorithm = _algorithm(settings)
        self._secret = _secret(settings)
        self._jwks: Jwks | None = None
        if settings.auth_jwks is not None:
            self._jwks = Jwks(_source(settings), self._algorithm, clock)

    def at_once(self, token: str, now: float) -> Principal | None:
        """The token's principal, or `AuthenticationFailed`; None when a key must be fetched first (`authenticate`)."""
        if self.anonymous is not None:
            return self.anonymous
        kid = _kid(token)
        key = self._secret if self._jwks is None else self._jwks.cached_key(kid)
        return None if key is None else self._principal(token, key, now)

    async def authenticate(self, token: str, now: float) -> Principal:
        """The token's principal, or `AuthenticationFailed`."""
        if (principal := self.at_once(token, now)) is not None:
            return principal
        if self._jwks is None:
            raise AssertionError("unreachable: a shared secret needs no fetching")
        try:
            key = await self._jwks.key(_kid(token))
        except KeysUnreadable as error:
            raise AuthenticationUnavailable("tokens can't be checked now; try again", str(error)) from None
        if key is None:
            raise _invalid("its key is not among the issuer's keys")
        return self._principal(token, key, now)

    async def close(self) -> None:
        if self._jwks is not None:
            await self._jwks.close()

    def _principal(self, token: str, key: jwt.PyJWK | bytes, now: float) -> Principal:
        claims = self._claims(token, key)
        if (begins := _moment(claims, "nbf")) is not None and now < begins - self._leeway:
            raise TokenInvalid("the token is not valid yet")
        ends = cast("float", _moment(claims, "exp")) + self._leeway
        if now >= ends:
            raise TokenExpired("the token expired; fetch a new one")
        try:
            return Principal(_subject(claims), Grants.parse(claims.get("plans", {})), ends)
        except InvalidGrants as error:
            raise TokenInvalid(str(error)) from None

    def _claims(self, token: str, key: jwt.PyJWK | bytes) -> Mapping[str, Any]:
        """The token's claims, after its signature, audience and issuer were verified."""
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[self._algorithm],
                audience=self._audience,
                issuer=self._issuer,
                options=_OPTIONS,
            )
        except jwt.MissingRequiredClaimError as error:
            raise TokenInvalid(f"the token has no `{error.claim}`") from None
        except jwt.InvalidAudienceError:
            raise TokenInvalid("the token is for another audience") from None
        except jwt.InvalidIssuerError:
            raise TokenInvalid("the token is from another issuer") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise _invalid(f"{type(error).__name__}: {error}") from None


def mint(settings: Settings, subject: str, plans: Mapping[str, list[str]], seconds: float, now: float) -> str:
    """Make a token with the shared secret, for development and for trusted programs.

    Raises:
        BadSetting: No shared secret is configured.
        InvalidGrants: `plans` is not valid, or too large for a token.
    """
    if settings.auth_secret is None:
        reason = "tokens come from the issuer" if settings.auth_jwks else "without authentication no token is needed"
        raise BadSetting(f"PLANCAST_AUTH_SECRET is not set: {reason}")
    claims: dict[str, Any] = {
        "sub": _subject({"sub": subject}),
        "plans": Grants.parse(plans).plans(),
        "iat": int(now),
        "exp": int(now + seconds),
    }
    claims |= {"aud": settings.auth_audience} if settings.auth_audience else {}
    claims |= {"iss": settings.auth_issuer} if settings.auth_issuer else {}
    token = jwt.encode(claims, settings.auth_secret.reveal(), "HS256")
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidGrants(
            f"plans: the token would have {len(token):,} bytes; at most {MAX_TOKEN_BYTES:,} are allowed"
        )
    return token


def refusal_to_bind(settings: Settings) -> str | None:
    """Why this hub must not listen on its address, or None."""
    if settings.authenticated or settings.insecure or loopback(settings.host):
        return None
    return (
        f"not listening on {settings.host}: without authentication, everyone who can reach this address could read and "
        "control every plan. Set PLANCAST_AUTH_SECRET or PLANCAST_AUTH_JWKS, listen on 127.0.0.1, or pass --insecure "
        "if a proxy in front of the hub authenticates its clients."
    )


def _algorithm(settings: Settings) -> str:
    return settings.auth_algorithm or ("RS256" if settings.auth_jwks else "HS256")


def _secret(settings: Settings) -> bytes | None:
    if settings.auth_secret is None:
        return None
    secret = settings.auth_secret.reveal()
    try:
        jwt.encode({}, secret, "HS256")
    except jwt.InvalidKeyError:
        raise BadSetting("PLANCAST_AUTH_SECRET: must be a shared secret; got a public or private key") from None
    return secret


def _source(settings: Settings) -> str:
    source = settings.auth_jwks or ""
    if (problem := unsafe_source(source)) is not None:
        raise BadSetting(f"PLANCAST_AUTH_JWKS: {problem}")
    return source


def _invalid(detail: str) -> TokenInvalid:
    """The error for a bad signature: the client does not learn the detail."""
    return TokenInvalid("the token is not valid here", detail)


def _kid(token: str) -> str | None:
    """The key id that the token names. It is unverified: use it only to look a key up."""
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenInvalid(f"a token has at most {MAX_TOKEN_BYTES:,} bytes")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise _invalid(f"{type(error).__name__}: {error}") from None
    if "crit" in header or header.get("b64", True) is not True:
        raise _invalid("its header has a critical extension that this hub doesn't support")
    return cast("str | None", header.get("kid"))  # PyJWT lets only strings through


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    at = claims.get(name)
    if at is None and name != "exp":
        return None
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at <= MAX_TIME:  # NaN is in no range
        raise TokenInvalid(f"the token's `{name}` must be a time in seconds")
    return float(at)


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 256 or not subject.isprintable():
        raise TokenInvalid("the token's `sub` must have 1 to 256 printable characters")
    return subject
