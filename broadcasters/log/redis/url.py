"""Redis URLs and their options.

    redis://[user:password@]host[:port][/db]?…
    redis+sentinel://[user:password@]host:port,host:port/service[/db]?…
    redis+cluster://[user:password@]host:port,host:port?…

`rediss` in place of `redis` means TLS. Options: `prefix` of all keys; `ttl`, days from a plan's last event until it
expires (0: never); `replicas` that must have an append before it returns; `sentinel_user`, `sentinel_password`; `ca`,
`cert`, `key` (files) and `verify=no` for TLS.
"""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from broadcasters.errors import LogMisconfigured

__all__ = ["Address", "RedisOptions", "RedisUrl", "Tls", "User"]

Kind = Literal["single", "sentinel", "cluster"]
KNOWN: Final = frozenset(
    {"prefix", "ttl", "replicas", "sentinel_user", "sentinel_password", "ca", "cert", "key", "verify"}
)
_PREFIX: Final = re.compile(r"[A-Za-z0-9._:/-]{1,64}\Z")
_DAY: Final = 86_400


class Address(NamedTuple):
    """Where a server listens. With port 0, `host` is the path of a Unix socket."""

    host: str
    port: int

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class User(NamedTuple):
    """The user to log in as."""

    name: str | None
    password: str | None

    def __repr__(self) -> str:
        return f"User({self.name!r})"


@dataclass(frozen=True, slots=True)
class Tls:
    """How to verify the server, and the certificate to show it."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert:
                context.load_cert_chain(self.cert, self.key)
        except OSError as error:
            raise LogMisconfigured(f"TLS for Redis can't be set up from the files the URL names: {error}") from None
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """What the log does in Redis, wherever that is."""

    prefix: str = "plancast"
    ttl: int = 30 * _DAY
    """Seconds from a plan's last event until it expires; 0: never."""
    replicas: int = 0
    """How many must have an append before it returns."""

    def __post_init__(self) -> None:
        if not _PREFIX.match(self.prefix):
            raise LogMisconfigured(f"prefix={self.prefix!r} of a Redis log; expected 1 to 64 of A-Z a-z 0-9 . _ : / -")


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A parsed URL. `parse` raises `LogMisconfigured`, which says what is wrong with the URL."""

    kind: Kind
    addresses: tuple[Address, ...]
    user: User
    sentinel_user: User
    tls: Tls | None
    service: str
    db: int
    options: RedisOptions

    @classmethod
    def parse(cls, url: str) -> RedisUrl:
        parts = urlsplit(url)
        if parts.fragment or "@" in parts.path:
            raise LogMisconfigured(
                "the Redis URL can't be read; in a user or password, / ? and # are written %2F, %3F and %23"
            )
        scheme, _, kind = parts.scheme.partition("+")
        options = _options(parts.query)
        service, db = _service_and_db(kind, parts.path)
        return cls(
            kind=_kind(scheme, kind),
            addresses=_addresses(parts, kind),
            user=_user(parts),
            sentinel_user=User(options.get("sentinel_user"), options.get("sentinel_password")),
            tls=_tls(options, scheme),
            service=service,
            db=db,
            options=RedisOptions(
                prefix=options.get("prefix", "plancast"),
                ttl=round(_number(options, "ttl", 30.0) * _DAY),
                replicas=int(_number(options, "replicas", 0)),
            ),
        )


def _kind(scheme: str, kind: str) -> Kind:
    if scheme not in ("redis", "rediss") or kind not in ("", "sentinel", "cluster"):
        raise LogMisconfigured(
            "unknown kind of Redis URL; expected redis://, redis+sentinel:// or redis+cluster:// (or rediss…)"
        )
    return "single" if kind == "" else "sentinel" if kind == "sentinel" else "cluster"


def _options(query: str) -> Mapping[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(options.keys() - KNOWN):
        raise LogMisconfigured(
            f"the Redis URL has an unknown option {unknown[0]!r}; expected some of {', '.join(sorted(KNOWN))}"
        )
    return options


def _addresses(parts: SplitResult, kind: str) -> tuple[Address, ...]:
    hosts = parts.netloc.rpartition("@")[2].split(",")
    port = 26379 if kind == "sentinel" else 6379
    if len(hosts) > 1 and not kind:
        raise LogMisconfigured("a redis:// URL names one server; for several: redis+sentinel:// or redis+cluster://")
    try:
        one = [urlsplit(f"//{host}") for host in hosts]
        return tuple(Address(host.hostname or "localhost", port if host.port is None else host.port) for host in one)
    except ValueError:
        raise LogMisconfigured(f"the Redis URL names no host and port in {','.join(hosts)!r}") from None


def _user(parts: SplitResult) -> User:
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    return User(unquote(user) or None, unquote(password) or None)


def _service_and_db(kind: str, path: str) -> tuple[str, int]:
    named = [unquote(part) for part in path.split("/") if part]
    service = named.pop(0) if kind == "sentinel" and named else ""
    if kind == "sentinel" and not service:
        raise LogMisconfigured("a Sentinel URL names the service: redis+sentinel://host:26379/<service>")
    if named and (len(named) > 1 or not named[0].isdecimal() or kind == "cluster"):
        raise LogMisconfigured(f"the Redis URL's path {path!r} is not the number of a database (a Cluster has none)")
    return service, int(named[0]) if named else 0


def _tls(options: Mapping[str, str], scheme: str) -> Tls | None:
    if scheme != "rediss":
        if given := sorted(options.keys() & {"ca", "cert", "key", "verify"}):
            raise LogMisconfigured(f"{given[0]}= in the Redis URL is an option of TLS, which requires rediss")
        return None
    verify = options.get("verify", "yes")
    if verify not in ("yes", "no"):
        raise LogMisconfigured(f"verify={verify!r} in the Redis URL; expected yes or no")
    return Tls(options.get("ca"), options.get("cert"), options.get("key"), verify == "yes")


def _number(options: Mapping[str, str], name: str, default: float) -> float:
    try:
        number = float(options.get(name, default))
    except ValueError:
        number = math.nan
    if not 0 <= number <= 36_500:
        raise LogMisconfigured(f"{name}={options[name]!r} in the Redis URL; expected a number from 0 to 36500")
    return number
