"""Valid and invalid tokens and tickets. Each is kept in `issued`, so that tests can search the logs for it."""

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

__all__ = ["AUDIENCE", "EVERYTHING", "SECRET", "issued", "signed", "ticket", "token"]

SECRET: Final = "a secret that only the tests know, and long enough for every algorithm they try"
AUDIENCE: Final = "plans.test"
SETTINGS: Final = Settings(log="sqlite:///unused", auth_secret=Secret(SECRET.encode()), auth_audience=AUDIENCE)
EVERYTHING: Final = {"*": ["read", "input", "signal", "publish", "start"]}
issued: Final[list[str]] = []
"""Every token and ticket made so far."""


def token(plans: Mapping[str, list[str]] = EVERYTHING, *, seconds: float = 600, subject: str = "ada") -> str:
    made = mint(SETTINGS, subject, plans, seconds, time.time())
    issued.append(made)
    return made


def signed(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    all_claims = {"sub": "mallory", "aud": AUDIENCE, "exp": int(time.time()) + 600, "plans": EVERYTHING, **claims}
    present = {name: value for name, value in all_claims.items() if value is not None}
    made = jwt.encode(present, "" if algorithm == "none" else secret, algorithm)
    issued.append(made)
    return made


def ticket(plans: Mapping[str, list[str]] = EVERYTHING, *, age: float = 0.0) -> str:
    """As `POST /api/tickets` issues it."""
    tickets = Tickets(ticket_key(SETTINGS), None)  # type: ignore[arg-type]
    made = tickets.issue(Principal("ada", Grants.parse(plans), time.time() + 600), time.time() - age).ticket
    issued.append(made)
    return made
