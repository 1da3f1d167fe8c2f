"""Tokens and tickets, good ones and others. Each is remembered, so that logs can be searched for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import jwt

from hub.access.auth import mint
from hub.access.principal import Grants, Principal
from hub.access.tickets import Tickets, ticket_key
from hub.config.setting_types import Secret
from hub.config.settings import Settings

__all__ = ["AUDIENCE", "EVERYTHING", "SECRET", "shown", "signed", "ticket", "token"]

SECRET: Final = "a secret that only the tests know, and long enough for every algorithm they try"
AUDIENCE: Final = "plans.test"
SETTINGS: Final = Settings(log="sqlite:///unused", auth_secret=Secret(SECRET.encode()), auth_audience=AUDIENCE)
EVERYTHING: Final = {"*": ["read", "input", "signal", "publish", "start"]}
shown: Final[list[str]] = []
"""Every token and ticket made so far."""


def token(plans: Mapping[str, list[str]] = EVERYTHING, *, seconds: float = 600, subject: str = "ada") -> str:
    made = mint(SETTINGS, subject, plans, seconds, time.time())
    shown.append(made)
    return made


def signed(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    said = {"sub": "mallory", "aud": AUDIENCE, "exp": int(time.time()) + 600, "plans": EVERYTHING, **claims}
    given = {name: value for name, value in said.items() if value is not None}
    made = jwt.encode(given, "" if algorithm == "none" else secret, algorithm)
    shown.append(made)
    return made


def ticket(plans: Mapping[str, list[str]] = EVERYTHING, *, age: float = 0.0) -> str:
    """As `POST /api/tickets` issues it."""
    tickets = Tickets(ticket_key(SETTINGS), None)  # type: ignore[arg-type]
    made = tickets.issue(Principal("ada", Grants.parse(plans), time.time() + 600), time.time() - age).ticket
    shown.append(made)
    return made
