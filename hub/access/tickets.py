"""Tickets: credentials for browsers that can send no header, valid for one use within half a minute.

A ticket contains its principal and is signed, so every worker and every node of a hub can verify it without the one that
issued it. All of them must also see that it is used only once, and what they share is the log: using a ticket is an
append to a plan of the hub's own, with the ticket's number as key. An append is atomic and a key is taken for ever
(promises L2 and L3 of the log), so of any number of simultaneous uses, on any node, exactly one wins.

The append has two entries: a mark, then the use with its key. If the use is new, its offset is the one after its mark
(L1); if the key was taken, the log returns the older offset, before the mark. So a single append decides which use was
first, even when its response is lost and it is repeated.

Such a plan serves the tickets of ten minutes, and is deleted more than ten minutes later. If the clocks of two hubs
differ by more than that, a ticket could be used again; tokens need better clocks anyway.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Any, Final, cast

from broadcasters.errors import LogError
from broadcasters.events import PlanUpdate
from broadcasters.log.contract import Entry, Facts, PlanLog
from broadcasters.supervision import log_failure
from hub.access.auth import AuthenticationUnavailable, TokenExpired, TokenInvalid
from hub.access.principal import RESERVED, Grants, Principal
from hub.config.settings import Settings

__all__ = ["MAX_TICKET_BYTES", "TICKET_SECONDS", "Ticket", "TicketTooLarge", "Tickets", "ticket_key"]

TICKET_SECONDS: Final = 30.0
MAX_TICKET_BYTES: Final = 4096
"""A ticket is part of a URL, and proxies limit those to 8 KiB."""
PREFIX: Final = "pct_"
"""Makes tickets easy to recognise, so that they can be removed from logs."""
PERIOD: Final = 600
LABEL: Final = RESERVED + "tickets"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket, valid for one use until `expires_at` (Unix time)."""

    ticket: str
    expires_at: float


class TicketTooLarge(ValueError):
    """The principal's grants don't fit into a URL; it must send its token as a header or in its first frame."""


def ticket_key(settings: Settings) -> bytes:
    """The key that signs tickets: from the configured secret, else from the shared secret of tokens, else random.

    A random one serves this process only; a supervisor of several processes passes one to all as PLANCAST_TICKET_SECRET.
    """
    root = settings.ticket_secret or settings.auth_secret
    return hmac.digest(root.reveal() if root else secrets.token_bytes(32), b"plancast ticket 1", "sha256")


class Tickets:
    """Issues and redeems tickets. Belongs to one event loop; `close` it."""

    def __init__(self, key: bytes, log: PlanLog) -> None:
        self._key = key
        self._log = log
        self._swept = -1
        self._sweeping: asyncio.Task[None] | None = None

    def issue(self, principal: Principal, now: float) -> Ticket:
        """A ticket for this principal, which expires with the principal at the latest."""
        expires_at = now + TICKET_SECONDS
        claims = {
            "n": secrets.token_urlsafe(16),
            "e": expires_at,
            "s": principal.subject,
            "p": principal.grants.plans(),
            "x": principal.expires_at,
        }
        content = _b64(json.dumps(claims, separators=(",", ":")).encode())
        ticket = f"{PREFIX}{content}.{_b64(self._sign(content))}"
        if len(ticket) > MAX_TICKET_BYTES:
            raise TicketTooLarge("the grants don't fit into a ticket; send the token as a header instead")
        return Ticket(ticket, expires_at)

    async def redeem(self, ticket: str, now: float) -> Principal:
        """The ticket's principal. Raises an `AuthenticationFailed` if the ticket was used, has expired or is not valid."""
        claims = self._read(ticket)
        principal = Principal(claims["s"], Grants.parse(claims["p"]), claims["x"])
        if now >= claims["e"] or principal.expired(now):
            raise TokenExpired("the ticket expired; fetch a new one")
        await self._use(claims["n"], claims["e"])
        self._sweep_now_and_then(now)
        return principal

    async def swept(self) -> None:
        """Wait for the running sweep, if there is one."""
        if self._sweeping is not None:
            await asyncio.shield(self._sweeping)

    async def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    def _sign(self, content: str) -> bytes:
        return hmac.digest(self._key, content.encode(), hashlib.sha256)

    def _read(self, ticket: str) -> dict[str, Any]:
        content, _, signature = ticket.removeprefix(PREFIX).partition(".")
        if len(ticket) > MAX_TICKET_BYTES or not ticket.startswith(PREFIX) or not ticket.isascii():
            raise TokenInvalid("not a ticket")
        if not hmac.compare_digest(signature, _b64(self._sign(content))):
            raise TokenInvalid("not a ticket of this hub", "a ticket's signature is wrong")
        return cast("dict[str, Any]", json.loads(base64.urlsafe_b64decode(content + "=" * (-len(content) % 4))))

    async def _use(self, number: str, expires_at: float) -> None:
        """Take the ticket's number, or raise `TokenExpired` if it was taken."""
        plan_id = _plan_of(expires_at)
        mark = PlanUpdate(plan_id=plan_id).payload(secrets.token_hex(8))
        entries = [Entry(mark), Entry(mark, key=number)]
        try:
            at = await self._log.append(plan_id, f"ticket-{secrets.token_hex(8)}", 1, entries, Facts(labels=(LABEL,)))
        except LogError as error:
            raise AuthenticationUnavailable(
                "tickets can't be checked now; fetch a new one and try again", str(error)
            ) from None
        if at.offsets[1] < at.offsets[0]:
            raise TokenExpired("the ticket was already used; fetch a new one", "a ticket was used twice")

    def _sweep_now_and_then(self, now: float) -> None:
        """Once a period, delete the plans of tickets that expired long ago."""
        period = int(now) // PERIOD
        if period != self._swept and (self._sweeping is None or self._sweeping.done()):
            self._swept = period
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep(now), name="sweep of tickets")
            self._sweeping.add_done_callback(log_failure)

    async def _sweep(self, now: float) -> None:
        try:
            page = await self._log.plans(label=LABEL, limit=100)
            for plan in page.plans:
                if plan.plan_id.startswith(f"{LABEL}.") and plan.plan_id < _plan_of(now - PERIOD):
                    await self._log.delete(plan.plan_id)
        except LogError:
            pass  # the next period's sweep finds them again


def _plan_of(at: float) -> str:
    return f"{LABEL}.{int(at) // PERIOD * PERIOD:012d}"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
