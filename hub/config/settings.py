"""The hub's settings, from environment variables and flags.

One table, the fields of `Settings`, defines both, and by `hub.config.flags` the help texts and the tables in
docs/OPERATIONS.md. A flag overrides
its variable. An invalid value raises `BadSetting`, which names the setting.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
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
from hub.config.suggestions import nearest

__all__ = ["PREFIX", "BadSetting", "Settings", "flag", "load", "unknown_variables", "variable"]

PREFIX: Final = "PLANCAST_"
OTHER_VARIABLES: Final = ("PLANCAST_TOKEN", "PLANCAST_RELAY_TOKEN")
"""Variables that are not settings of a hub: of agents and commands in the same environment."""


class BadSetting(PlancastError, ValueError):
    """A setting has an invalid value. The message is one line for the operator and never shows a secret."""


def _setting(group: str, default: Any, parse: values.Parser, about: str, shown: str | None = None) -> Any:
    """A field of `Settings`. `shown` describes the default where that is not the value itself."""
    return field(default=default, metadata={"group": group, "parse": parse, "about": about, "shown": shown})


def _whole(least: int, most: int) -> values.Parser:
    return partial(values.whole, least=least, most=most)


def _number(least: float, most: float) -> values.Parser:
    return partial(values.number, least=least, most=most)


def _size(least: int, most: int) -> values.Parser:
    return partial(values.size, least=least, most=most)


_session, _connections, _plans, _requests = SessionLimits(), ConnectionLimits(), PlanLimits(), RequestLimits()
_outlet, _channel = OutletLimits(), ChannelLimits()


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """All settings, validated. `load` makes them."""

    host: str = _setting("address", "127.0.0.1", values.text, "Address to listen on.")
    port: int = _setting("address", 8000, _whole(0, 65535), "Port to listen on; 0 takes a free one.")
    workers: int = _setting("address", 1, _whole(1, 256), "Processes that share the port.")
    proxies: str = _setting(
        "address",
        "127.0.0.1",
        values.proxies,
        "Reverse proxies whose X-Forwarded-For and -Proto are trusted, separated by commas.",
    )
    drain_seconds: float = _setting(
        "address", 20.0, _number(0, 3600), "Seconds over which clients are disconnected after SIGTERM."
    )
    run_directory: Path | None = _setting(  # noqa: RUF009 - it makes a field
        "address", None, values.path, "Directory in which workers share metrics.", "a temporary directory"
    )

    log: str = _setting(
        "plans",
        "",
        values.url,
        "The log: sqlite:///…, redis://…, redis+sentinel://… or redis+cluster://….",
        "sqlite:///~/.plancast/plans.db",
    )
    engine: str = _setting(
        "plans",
        "auto",
        partial(values.choice, among=("auto", "off", "embedded", "remote")),
        "What runs plans: this process (`embedded`), `plancast worker` processes (`remote`), or nothing (`off`).",
        "embedded in development or with templates, otherwise off",
    )
    task_seconds: float = _setting(
        "plans", 300.0, _number(1, 86400 * 30), "Seconds for which an ended task of the insight chat can be queried."
    )
    templates: tuple[str, ...] = _setting(
        "engine",
        (),
        values.modules,
        "Python modules with the plan templates, separated by commas.",
        "plan_engine.templates",
    )
    engine_db: str = _setting(
        "engine",
        "",
        values.url,
        "The engine's database: sqlite:///… or postgresql://….",
        "sqlite:///~/.plancast/engine.db",
    )
    model: str = _setting("engine", "offline", values.text, "The agents' language model; `offline` needs no provider.")
    pace: float = _setting("engine", 1.0, _number(0, 100), "Pace of the offline model: 1 is reading speed, 0 no delay.")
    lease: float = _setting(
        "engine", 10.0, _number(0.5, 3600), "Seconds without a heartbeat after which a worker is considered dead."
    )
    plans_at_once: int = _setting(
        "engine", 50, _whole(1, 10_000), "Plans that one process runs at once, not counting those that wait for input."
    )
    tracebacks: bool | None = _setting(
        "engine",
        None,
        values.switch,
        "Publish the tracebacks of failed steps to all who may read the plan; otherwise they are logged.",
        "in development only",
    )

    probe_host: str = _setting("worker", "127.0.0.1", values.text, "Address for `/livez`, `/readyz` and `/metrics`.")
    probe_port: int | None = _setting(
        "worker",
        None,
        _whole(0, 65535),
        "Port for `/livez`, `/readyz` and `/metrics` of `plancast worker`; 0 takes a free one.",
        "none: it does not listen",
    )

    auth_secret: Secret | None = _setting(  # noqa: RUF009 - it makes a field
        "rights", None, values.secret, "Shared secret of HS256 tokens, at least 32 bytes, or `@/path/to/file`."
    )
    auth_jwks: str | None = _setting(
        "rights", None, values.url, "Public keys of the token issuer (JWKS): https://… or a file."
    )
    auth_algorithm: str | None = _setting(
        "rights",
        None,
        partial(values.choice, among=("HS256", "RS256", "ES256", "EdDSA")),
        "The only signature algorithm accepted in tokens.",
        "HS256 with a secret, RS256 with a JWKS",
    )
    auth_audience: str | None = _setting(
        "rights", None, values.text, "The `aud` that tokens must have; required with a JWKS.", "none"
    )
    auth_issuer: str | None = _setting("rights", None, values.text, "The `iss` that tokens must have.", "any")
    auth_leeway: float = _setting("rights", 5.0, _number(0, 60), "Seconds by which the issuer's clock may differ.")
    ticket_secret: Secret | None = _setting(  # noqa: RUF009 - it makes a field
        "rights",
        None,
        values.secret,
        "Secret that signs tickets; must be the same on all machines of one hub.",
        "derived from the shared secret, or random at each start",
    )
    origins: tuple[str, ...] = _setting(
        "rights",
        (),
        values.origins,
        "Origins whose pages may connect, separated by commas.",
        "the hub's own; in development any loopback origin",
    )
    insecure: bool = _setting(
        "rights", False, values.switch, "Allow connections from other machines without authentication."
    )
    test_endpoint: bool | None = _setting(
        "rights", None, values.switch, "Enable `POST /api/test/streaming/{plan_id}`.", "in development only"
    )

    max_connections: int = _setting("limits", _connections.total, _whole(1, 1_000_000), "Connections to one process.")
    max_connections_per_address: int = _setting(
        "limits", _connections.per_address, _whole(1, 1_000_000), "Connections from one address."
    )
    max_connections_per_principal: int = _setting(
        "limits", _connections.per_principal, _whole(1, 1_000_000), "Connections of one principal."
    )
    max_subscriptions: int = _setting(
        "limits", _session.subscriptions, _whole(1, 100_000), "Subscriptions of one connection."
    )
    max_plans: int = _setting("limits", _plans.total, _whole(1, 1_000_000), "Plans that one process follows at once.")
    max_plans_per_address: int = _setting(
        "limits", _plans.per_address, _whole(1, 1_000_000), "Plans that one address follows."
    )
    max_plans_per_principal: int = _setting(
        "limits", _plans.per_principal, _whole(1, 1_000_000), "Plans that one principal follows."
    )
    requests_per_second_per_address: float = _setting(
        "limits",
        _requests.per_address,
        _number(0.1, 1e9),
        "Sustained rate of requests, answers and signals from one address.",
    )
    requests_per_second_per_principal: float = _setting(
        "limits",
        _requests.per_principal,
        _number(0.1, 1e9),
        "Sustained rate of requests, answers and signals of one principal.",
    )
    max_frame_bytes: int = _setting(
        "limits", _session.frame_bytes, _size(1 * KIB, 1 * MIB), "Maximum size of a frame from a client."
    )
    frames_per_second: float = _setting(
        "limits", _session.frames_per_second, _number(0.1, 1e6), "Sustained rate of frames from one connection."
    )
    idle_seconds: float = _setting(
        "limits",
        _session.idle_seconds,
        _number(1, 86400),
        "Seconds without subscription or frame after which a connection is closed (4410).",
    )
    slow_seconds: float = _setting(
        "limits",
        _outlet.slow_seconds,
        _number(1, 3600),
        "Seconds without reading after which a client is disconnected (4408).",
    )
    outlet_bytes: int = _setting(
        "limits", _outlet.high_water, _size(16 * KIB, 64 * MIB), "Bytes buffered for one slow client."
    )
    outlet_total_bytes: int = _setting(
        "limits",
        Limits().written_total,
        _size(1 * MIB, 1024 * 1024 * MIB),
        "Bytes buffered for all slow clients of one process.",
    )
    ring_bytes: int = _setting(
        "limits",
        _channel.ring_bytes,
        _size(64 * KIB, 256 * MIB),
        "Bytes of recent events kept in memory for each plan.",
    )

    logs: str = _setting(
        "operations",
        "auto",
        partial(values.choice, among=("auto", "json", "text")),
        "Format of log messages; `auto` is text on a terminal, otherwise JSON.",
    )
    logs_level: str = _setting(
        "operations",
        "info",
        partial(values.choice, among=("debug", "info", "warning", "error")),
        "Lowest level of log messages.",
    )

    @property
    def authenticated(self) -> bool:
        """Whether clients must authenticate."""
        return self.auth_secret is not None or self.auth_jwks is not None

    @property
    def development(self) -> bool:
        """Whether only this machine can connect, without authentication."""
        return not self.authenticated and not self.insecure and values.loopback(self.host)

    @property
    def wants_engine(self) -> bool:
        """Whether the operator requires an engine."""
        return self.engine in ("embedded", "remote") or (self.engine == "auto" and bool(self.templates))

    @property
    def offers_test_endpoint(self) -> bool:
        return self.development if self.test_endpoint is None else self.test_endpoint

    @property
    def publishes_tracebacks(self) -> bool:
        return self.development if self.tracebacks is None else self.tracebacks

    @property
    def limits(self) -> Limits:
        """The limits with the settings applied."""
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
        """The settings that differ from their defaults, without secrets."""
        changed = [
            f"{at.name}={_shown(getattr(self, at.name))}" for at in fields(self) if getattr(self, at.name) != at.default
        ]
        return f"Settings({', '.join(changed)})"


def _shown(value: object) -> str:
    return repr(values.without_password(value) if isinstance(value, str) else value)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def flag(name: str) -> str:
    """The flag of a setting."""
    return "--" + name.replace("_", "-")


def load(environ: Mapping[str, str], flags: argparse.Namespace | None = None) -> Settings:
    """The settings from an environment and flags. Raises `BadSetting`."""
    engine_db = f"sqlite:///{Path.home() / '.plancast' / 'engine.db'}"
    given: dict[str, Any] = {"log": default_url(environ=environ), "engine_db": engine_db}
    for at in fields(Settings):
        given_flag = getattr(flags, at.name, None)
        source, text = (
            (flag(at.name), given_flag)
            if given_flag is not None
            else (variable(at.name), environ.get(variable(at.name)))
        )
        if text is None or (not text.strip() and given_flag is None):
            continue  # an empty variable counts as unset: compose files and shells often leave one
        try:
            given[at.name] = at.metadata["parse"](text.strip())
        except ValueError as error:
            raise BadSetting(f"{source}: {error}") from None
    return _consistent(Settings(**given))


def _consistent(settings: Settings) -> Settings:
    """Checks combinations of settings."""
    secret, jwks, algorithm = settings.auth_secret, settings.auth_jwks, settings.auth_algorithm
    if settings.log.startswith(("http://", "https://")):
        raise BadSetting(
            "PLANCAST_LOG: hubs and workers need sqlite:// or redis://; only agents can use a hub's http://"
        )
    if secret and jwks:
        raise BadSetting("PLANCAST_AUTH_SECRET and PLANCAST_AUTH_JWKS are both set; unset one of them")
    if jwks and not settings.auth_audience:
        raise BadSetting("PLANCAST_AUTH_AUDIENCE: required with PLANCAST_AUTH_JWKS; set the `aud` of this hub's tokens")
    if algorithm == "HS256" and not secret:
        raise BadSetting("PLANCAST_AUTH_ALGORITHM: HS256 requires PLANCAST_AUTH_SECRET")
    if algorithm not in (None, "HS256") and not jwks:
        raise BadSetting(f"PLANCAST_AUTH_ALGORITHM: {algorithm} requires PLANCAST_AUTH_JWKS")
    return settings


def unknown_variables(environ: Mapping[str, str]) -> dict[str, str | None]:
    """The PLANCAST_ variables that are not settings, each with the most similar setting, or None if none is similar."""
    known = [*(variable(at.name) for at in fields(Settings)), *OTHER_VARIABLES]
    return {name: nearest(name, known) for name in sorted(environ) if name.startswith(PREFIX) and name not in known}
