"""Cursors of lists, sealed: a log's own cursor may name a plan that the caller must not know of.

A cursor that this hub (or another with the same secret) has not made is refused, whatever the log would do with it.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from broadcasters.errors import InvalidEvent

__all__ = ["Cursors"]

NONCE: Final = 12


class Cursors:
    """`key` is a secret of the hub's, the same on all its nodes."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(key, b"plancast cursor 1", "sha256"))

    def seal(self, cursor: str | None) -> str | None:
        """The log's cursor, for a client."""
        if cursor is None:
            return None
        nonce = secrets.token_bytes(NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, cursor.encode(), None)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def unseal(self, cursor: str | None) -> str | None:
        """The log's cursor again; `InvalidEvent` for one that was not made here."""
        if cursor is None:
            return None
        try:
            sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            return self._cipher.decrypt(sealed[:NONCE], sealed[NONCE:], None).decode()
        except (ValueError, InvalidTag):
            raise InvalidEvent("cursor", "not one that this list has given; begin again without") from None
