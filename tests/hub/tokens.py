"""Tokens for tests, good and bad."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt

SECRET = "correct horse battery staple, and then some"
NOW = 1_800_000_000.0
CLAIMS: dict[str, Any] = {"sub": "ada", "exp": NOW + 60, "plans": {"plan-*": ["read"]}}


def token(claims: dict[str, Any], key: Any = SECRET, alg: str = "HS256", **headers: Any) -> str:
    return jwt.encode(claims, key, alg, headers=headers or None)


def b64(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
