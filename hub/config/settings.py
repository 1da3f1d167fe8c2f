"""What an operator may set, by environment variable or flag.

One table, the fields of `Settings`, drives both, as well as the help text and the table in docs/OPERATIONS.md. A flag
wins over its variable. A value that won't do is answered with one sentence that names it.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Final

from broadcasters.errors import PlancastError
from broadcasters.log import default_url
from hub.config import setting_types as values
from hub.config.limits import (
    KIB,
    MIB,
    ChannelLimits,
    ConnectionLimits,
    Limits,
    OutletLimits,
    PlanLimits,
    RequestLimits,
    SessionLimits,
)
from hub.config.setting_types import Secret

__all__ = ["BadSetting", "Settings", "add_flags", "load", "strangers", "table", "variable"]

PREFIX: Final = "PLANCAST_"


class BadSetting(PlancastError, ValueError):
    """A setting that can't be used. The message is one sentence for the operator; it never shows a secret."""


def _setting(group: str, default: Any, parse: values.Parser, about: str, shown: str | None = None) -> Any:
    """A field of `Settings`. `shown` is the default as people read it, where that isn't the value itself."""
    return field(default=default, metadata={"group": group, "parse": parse, "about": about, "shown": shown})


_whole, _number, _size = values.whole, values.number, values.size
_session, _connections, _plans, _requests = SessionLimits(), ConnectionLimits(), PlanLimits(), RequestLimits()
_outlet, _channel = OutletLimits(), ChannelLimits()


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """Everything that can be set, checked. `load` makes one."""

    host: str = _setting("address", "127.0.0.1", values.text, "Address to listen on.")
    port: int = _setting(
        "address", 8000, partial(_whole, least=0, most=65535), "Port to listen on; 0 takes a free one."
    )
    workers: int = _setting("address", 1, partial(_whole, least=1, most=256), "Processes that share the port.")
    proxies: str = _setting(
        "address",
        "127.0.0.1",
        values.proxies,
        "Reverse proxies whose X-Forwarded-For and -Proto are believed, by comma.",
    )
    drain_seconds: float = _setting(
        "address", 20.0, partial(_number, least=0, most=3600), "Time to send clients elsewhere after SIGTERM."
    )
    run_directory: Path | None = _setting(  # noqa: RUF009 - it makes a field
        "address", None, values.path, "Where the workers of one hub share their metrics.", "a temporary one"
    )

    log: str = _setting(
        "plans",
        "",
        values.text,
        "Where plans are kept: sqlite:///…, redis://…, redis+sentinel://…, redis+cluster://….",
        "sqlite:///~/.plancast/plans.db",
    )
    engine: str = _setting(
        "plans",
        "auto",
        partial(values.choice, among=("auto", "off", "embedded", "remote")),
        "Who works on plans: this process (`embedded`), `plancast worker` processes (`remote`), nobody (`off`).",
        "embedded in development or when templates are named, else off",
    )
    task_seconds: float = _setting(
        "plans",
        300.0,
        partial(_number, least=1, most=86400 * 30),
        "For how long a task of the insight chat can be asked about when it has ended.",
    )
    templates: tuple[str, ...] = _setting(
        "engine", (), values.modules, "Modules whose templates can be started, by comma.", "plan_engine.templates"
    )
    engine_db: str = _setting(
        "engine",
        "",
        values.text,
        "The engine's database: sqlite:///… or postgresql://….",
        "sqlite:///~/.plancast/engine.db",
    )
    model: str = _setting("engine", "offline", values.text, "The language model agents use; `offline` needs none.")
    pace: float = _setting(
        "engine", 1.0, partial(_number, least=0, most=100), "The offline model's pace: 1 as a person reads, 0 at once."
    )
    lease: float = _setting(
        "engine",
        10.0,
        partial(_number, least=0.5, most=3600),
        "Seconds without a sign of life after which a worker is taken for dead.",
    )
    plans_at_once: int = _setting(
        "engine",
        50,
        partial(_whole, least=1, most=10_000),
        "Plans one process works on at once, those that only wait not counted.",
    )

    auth_secret: Secret | None = _setting(  # noqa: RUF009 - it makes a field
        "rights", None, values.secret, "Shared secret of HS256 tokens, 32 bytes or more; `@/a/file` is read."
    )
    auth_jwks: str | None = _setting(
        "rights", None, values.text, "Public keys of the tokens' issuer (JWKS): https://… or a file."
    )
    auth_algorithm: str | None = _setting(
        "rights",
        None,
        partial(values.choice, among=("HS256", "RS256", "ES256", "EdDSA")),
        "The one algorithm that tokens may be signed with.",
        "HS256 with a secret, RS256 with a JWKS",
    )
    auth_audience: str | None = _setting(
        "rights", None, values.text, "What a token's `aud` must name; needed with a JWKS.", "none"
    )
    auth_issuer: str | None = _setting("rights", None, values.text, "What a token's `iss` must be.", "anything")
    auth_leeway: float = _setting(
        "rights", 5.0, partial(_number, least=0, most=60), "Seconds by which clocks may differ."
    )
    ticket_secret: Secret | None = _setting(  # noqa: RUF009 - it makes a field
        "rights",
        None,
        values.secret,
        "Signs tickets; the same on all machines of one hub.",
        "made from the shared secret, or anew at each start",
    )
    origins: tuple[str, ...] = _setting(
        "rights",
        (),
        values.origins,
        "Origins whose pages may connect, by comma.",
        "the hub's own; in development any loopback",
    )
    insecure: bool = _setting(
        "rights", False, values.switch, "Listen beyond loopback although nobody is asked who they are."
    )
    test_endpoint: bool | None = _setting(
        "rights", None, values.switch, "`POST /api/test/streaming/{plan_id}` exists.", "in development only"
    )

    max_connections: int = _setting(
        "limits", _connections.total, partial(_whole, least=1, most=1_000_000), "Connections of one process."
    )
    max_connections_per_address: int = _setting(
        "limits", _connections.per_address, partial(_whole, least=1, most=1_000_000), "Connections from one address."
    )
    max_connections_per_principal: int = _setting(
        "limits", _connections.per_principal, partial(_whole, least=1, most=1_000_000), "Connections of one `sub`."
    )
    max_subscriptions: int = _setting(
        "limits", _session.subscriptions, partial(_whole, least=1, most=100_000), "Plans that one connection watches."
    )
    max_plans: int = _setting(
        "limits", _plans.total, partial(_whole, least=1, most=1_000_000), "Plans that one process follows at once."
    )
    max_plans_per_address: int = _setting(
        "limits", _plans.per_address, partial(_whole, least=1, most=1_000_000), "Plans that one address follows."
    )
    max_plans_per_principal: int = _setting(
        "limits", _plans.per_principal, partial(_whole, least=1, most=1_000_000), "Plans that one `sub` follows."
    )
    requests_per_second_per_address: float = _setting(
        "limits",
        _requests.per_address,
        partial(_number, least=0.1, most=1e9),
        "Requests, answers and signals from one address, in the long run.",
    )
    requests_per_second_per_principal: float = _setting(
        "limits", _requests.per_principal, partial(_number, least=0.1, most=1e9), "The same of one `sub`."
    )
    max_frame_bytes: int = _setting(
        "limits", _session.frame_bytes, partial(_size, least=1 * KIB, most=1 * MIB), "One frame from a client."
    )
    frames_per_second: float = _setting(
        "limits",
        _session.frames_per_second,
        partial(_number, least=0.1, most=1e6),
        "Frames from one client, in the long run.",
    )
    idle_seconds: float = _setting(
        "limits",
        _session.idle_seconds,
        partial(_number, least=1, most=86400),
        "No subscription, no frame: closed (4410).",
    )
    slow_seconds: float = _setting(
        "limits",
        _outlet.slow_seconds,
        partial(_number, least=1, most=3600),
        "A client that takes nothing: closed (4408).",
    )
    outlet_bytes: int = _setting(
        "limits",
        _outlet.high_water,
        partial(_size, least=16 * KIB, most=64 * MIB),
        "What may wait for one slow client.",
    )
    outlet_total_bytes: int = _setting(
        "limits",
        Limits().written_total,
        partial(_size, least=1 * MIB, most=1024 * 1024 * MIB),
        "What may wait for all slow clients.",
    )
    ring_bytes: int = _setting(
        "limits",
        _channel.ring_bytes,
        partial(_size, least=64 * KIB, most=256 * MIB),
        "What is kept in memory of one plan.",
    )

    logs: str = _setting(
        "operations",
        "auto",
        partial(values.choice, among=("auto", "json", "text")),
        "Logs as JSON lines or to be read; auto: text on a terminal.",
    )
    logs_level: str = _setting(
        "operations",
        "info",
        partial(values.choice, among=("debug", "info", "warning", "error")),
        "The least that is logged.",
    )

    @property
    def authenticated(self) -> bool:
        """Whether clients are asked who they are."""
        return self.auth_secret is not None or self.auth_jwks is not None

    @property
    def development(self) -> bool:
        """Nobody is asked, and nobody from elsewhere can come."""
        return not self.authenticated and not self.insecure and values.loopback(self.host)

    @property
    def wants_engine(self) -> bool:
        """Somebody asked for one."""
        return self.engine in ("embedded", "remote") or (self.engine == "auto" and bool(self.templates))

    @property
    def offers_test_endpoint(self) -> bool:
        return self.development if self.test_endpoint is None else self.test_endpoint

    @property
    def limits(self) -> Limits:
        """The limits with what was set of them."""
        return Limits(
            session=SessionLimits(
                subscriptions=self.max_subscriptions,
                frames_per_second=self.frames_per_second,
                frames_burst=max(_session.frames_burst, 2 * self.max_subscriptions),
                bytes_burst=max(_session.bytes_burst, 2 * self.max_frame_bytes),
                frame_bytes=self.max_frame_bytes,
                idle_seconds=self.idle_seconds,
            ),
            connections=ConnectionLimits(
                per_address=self.max_connections_per_address,
                per_principal=self.max_connections_per_principal,
                total=self.max_connections,
            ),
            requests=RequestLimits(
                per_address=self.requests_per_second_per_address,
                per_principal=self.requests_per_second_per_principal,
            ),
            outlet=OutletLimits(
                high_water=self.outlet_bytes,
                low_water=min(_outlet.low_water, self.outlet_bytes // 4),
                slow_seconds=self.slow_seconds,
            ),
            channel=ChannelLimits(ring_bytes=self.ring_bytes),
            plans=PlanLimits(
                per_address=self.max_plans_per_address,
                per_principal=self.max_plans_per_principal,
                total=self.max_plans,
            ),
            written_total=self.outlet_total_bytes,
        )

    def __repr__(self) -> str:
        """What differs from the defaults, with no secret in it."""
        said = [
            f"{at.name}={_shown(getattr(self, at.name))}" for at in fields(self) if getattr(self, at.name) != at.default
        ]
        return f"Settings({', '.join(said)})"


def _shown(value: object) -> str:
    return repr(values.without_password(value) if isinstance(value, str) else value)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def add_flags(parser: argparse.ArgumentParser, *groups: str) -> None:
    """Add the flags of these groups (none: of all) to a command; give what was parsed to `load`."""
    for at in fields(Settings):
        if not groups or at.metadata["group"] in groups:
            switch: dict[str, Any] = {"nargs": "?", "const": "yes"} if at.metadata["parse"] is values.switch else {}
            about = f"{at.metadata['about']} [{_default(at)}; {variable(at.name)}]"
            parser.add_argument(_flag(at.name), dest=at.name, metavar="…", help=about.replace("%", "%%"), **switch)


def load(environ: Mapping[str, str], flags: argparse.Namespace | None = None) -> Settings:
    """The settings of this environment and these flags; `BadSetting` says what won't do."""
    given: dict[str, Any] = {"log": default_url(), "engine_db": f"sqlite:///{Path.home() / '.plancast' / 'engine.db'}"}
    for at in fields(Settings):
        flag = getattr(flags, at.name, None)
        source, text = (
            (_flag(at.name), flag) if flag is not None else (variable(at.name), environ.get(variable(at.name)))
        )
        if text is None or (not text.strip() and flag is None):
            continue  # an empty variable is an unset one: compose files and shells leave such behind
        try:
            given[at.name] = at.metadata["parse"](text.strip())
        except ValueError as error:
            raise BadSetting(f"{source}: {error}") from None
    return _together(Settings(**given))


def _together(settings: Settings) -> Settings:
    """Settings that are fine one by one may not be so together."""
    secret, jwks, algorithm = settings.auth_secret, settings.auth_jwks, settings.auth_algorithm
    if settings.log.startswith(("http://", "https://")):
        raise BadSetting("PLANCAST_LOG: hubs and workers reach the log itself; only agents reach it through a hub")
    if secret and jwks:
        raise BadSetting("PLANCAST_AUTH_SECRET and PLANCAST_AUTH_JWKS: one of them says who signs tokens, not both")
    if jwks and not settings.auth_audience:
        raise BadSetting("PLANCAST_AUTH_AUDIENCE: say what `aud` this hub has; the issuer signs tokens for others too")
    if algorithm == "HS256" and not secret:
        raise BadSetting("PLANCAST_AUTH_ALGORITHM: HS256 needs PLANCAST_AUTH_SECRET")
    if algorithm not in (None, "HS256") and not jwks:
        raise BadSetting(f"PLANCAST_AUTH_ALGORITHM: {algorithm} needs PLANCAST_AUTH_JWKS")
    return settings


def strangers(environ: Mapping[str, str]) -> list[str]:
    """A warning for each PLANCAST_ variable that means nothing here, with the one that was perhaps meant."""
    known = [variable(at.name) for at in fields(Settings)] + [f"{PREFIX}TOKEN"]  # an agent's, in the same environment
    return [
        f"{name} means nothing here" + (f"; did you mean {near[0]}?" if near else "")
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in known
        for near in [difflib.get_close_matches(name, known, 1)]
    ]


def _default(at: Field[Any]) -> str:
    if at.metadata["shown"] is not None:
        return str(at.metadata["shown"])
    return values.written(at.default, size=getattr(at.metadata["parse"], "func", None) is values.size)


def table() -> str:
    """All settings as the Markdown tables of docs/OPERATIONS.md."""
    lines: list[str] = []
    group = ""
    for at in fields(Settings):
        if at.metadata["group"] != group:
            group = at.metadata["group"]
            lines += ["", f"### {group.capitalize()}", "", "| variable | flag | default | |", "|---|---|---|---|"]
        about = at.metadata["about"]
        lines.append(f"| `{variable(at.name)}` | `{_flag(at.name)}` | {_default(at)} | {about} |")
    return "\n".join(lines[1:])
