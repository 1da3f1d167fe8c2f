"""A client that checks every frame against docs/PROTOCOL.md and records every event.

It checks the order of events as they arrive: a gap, a duplicate, or an event without a subscription is a problem, which
it adds to the recorder with the reader's last frames. It keeps its position in each plan and resumes there when it
reconnects.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from broadcasters.log import log_of
from broadcasters.position import Position
from tests.faults.event_recorder import Delivery, EventRecorder, Tally, delivery_of
from tests.faults.websocket_client import WebSocketClient, open_websocket

__all__ = ["Reader", "Since", "Subscription", "verify_received"]

Since = Literal["now", "start", "snapshot"] | Position | None
DEADLINE_S = 120.0
ATTEMPT_S = 20.0
"""Limit for one connection attempt: with a full backlog, the kernel alone waits a minute between its SYNs."""
REASONS = frozenset({"trimmed", "forked", "ahead", "epoch"})


class Subscription:
    """The state of one subscription on the current connection."""

    __slots__ = ("awaits_snapshot", "confirmed", "just_confirmed", "position", "requests", "since")

    def __init__(self, since: Since) -> None:
        self.since = since
        self.confirmed = False
        self.position = Position("", 0)
        self.awaits_snapshot = False
        self.just_confirmed = False
        self.requests: dict[str, Since] = {}
        """The `since` of each request that has no answer yet."""

    @property
    def knows_positions(self) -> bool:
        return self.since is not None


class Reader:
    """A client: `await connect()`, `subscribe`, `await until(…)`. It may connect any number of times, one at a time."""

    def __init__(
        self, recorder: EventRecorder, url: str, name: str = "reader", *, receive_buffer: int | None = None
    ) -> None:
        recorder.clients.append(self)
        self.recorder = recorder
        self.url = url
        self.name = name
        self.socket: WebSocketClient | None = None
        self.subscriptions: dict[str, Subscription] = {}
        self.positions: dict[str, Position] = {}
        """The position in each plan after everything received so far, on any connection."""
        self.connections = 0
        self.frames = 0
        self.close_codes: list[int] = []
        self.hints: list[int] = []
        """`reconnect_after_ms` of each `going_away`."""
        self.reasons: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.interrupted: dict[str, Since] = {}
        """Plans whose subscription the hub refused or ended for now, and the `since` for subscribing again."""
        self.on_event: Callable[[Delivery, bytes], None] | None = None
        self._receive_buffer = receive_buffer
        self._numbers = itertools.count(1)
        self._greeted = False
        self._unsubscribing: dict[str, str] = {}  # request id of an unsubscription -> plan
        self._recent: deque[bytes] = deque(maxlen=8)
        self._changed = asyncio.Event()

    # ---- requests

    @property
    def connected(self) -> bool:
        return self.socket is not None and not self.socket.ended.done()

    @property
    def unsubscribing(self) -> bool:
        """Whether an unsubscription has no answer yet."""
        return bool(self._unsubscribing)

    async def connect(self) -> None:
        """Opens a connection and resumes every subscription of the previous one."""
        assert not self.connected
        wanted, self.subscriptions, self.socket = self.subscriptions, {}, None
        self._greeted, self._unsubscribing = False, {}
        self.connections += 1
        try:
            async with asyncio.timeout(ATTEMPT_S):
                self.socket = await open_websocket(self.url, self._receive, receive_buffer=self._receive_buffer)
        except OSError:
            self.subscriptions = wanted
            raise
        self.socket.ended.add_done_callback(self._ended)
        for plan_id, subscription in wanted.items():
            since = self.positions.get(plan_id, subscription.since) if subscription.knows_positions else None
            self.subscribe(plan_id, since)

    async def connect_with_retries(self, *urls: str) -> None:
        """Tries these URLs in turn (default: the last one) until one accepts. Only the test's timeout ends the attempts."""
        choices = itertools.cycle(urls or (self.url,))
        while not self.connected:
            self.url = next(choices)
            with suppress(OSError):
                await self.connect()
                return
            await asyncio.sleep(0.02)

    def subscribe(self, plan_id: str, since: Since = None) -> None:
        subscription = self.subscriptions.get(plan_id)
        if subscription is None:
            subscription = self.subscriptions[plan_id] = Subscription(since)
        request_id = f"s{next(self._numbers)}"
        subscription.requests[request_id] = since
        self.interrupted.pop(plan_id, None)
        position = {"epoch": since.epoch, "offset": since.offset} if isinstance(since, Position) else since
        self._send("subscribe_plan", plan_id, request_id, {} if since is None else {"since": position})

    def resume(self, plan_id: str) -> None:
        """Subscribes from the last position, or from the start if it has received nothing of the plan."""
        position: Since = self.positions.get(plan_id, "start")
        self.subscribe(plan_id, self.interrupted.get(plan_id, position))

    def unsubscribe(self, plan_id: str) -> None:
        request_id = f"u{next(self._numbers)}"
        self._unsubscribing[request_id] = plan_id
        self._send("unsubscribe_plan", plan_id, request_id, {})

    async def close(self) -> None:
        """Closes with the closing handshake."""
        if self.socket is not None and self.connected:
            await self.socket.close()

    async def reset(self) -> None:
        """Resets the connection, if there is one."""
        if self.socket is not None:
            self.socket.reset()
            await asyncio.shield(self.socket.ended)

    async def until(self, true: Callable[[Reader], Any], what: str = "") -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not true(self):
                    assert self.recorder.problems == [], self.recorder.problems[0]
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            states = {plan_id: (one.confirmed, *one.position) for plan_id, one in self.subscriptions.items()}
            raise AssertionError(
                f"{self.name} timed out{what and ' waiting for '}{what}: {states}, {self.close_codes}"
            ) from None

    async def until_at(self, plan_id: str, offset: int) -> None:
        """Waits until it has received everything up to this offset."""
        await self.until(lambda _: self.at(plan_id) >= offset, f"{plan_id} up to {offset}")

    async def until_closed(self, deadline: float | None = DEADLINE_S) -> int:
        assert self.socket is not None
        async with asyncio.timeout(deadline):
            return await asyncio.shield(self.socket.ended)

    def at(self, plan_id: str) -> int:
        """The last offset received on this connection; -1 while not subscribed or waiting for a snapshot."""
        subscription = self.subscriptions.get(plan_id)
        if subscription is None or not subscription.confirmed or subscription.awaits_snapshot:
            return -1
        return subscription.position.offset

    def _send(self, kind: str, plan_id: str, request_id: str, more: dict[str, Any]) -> None:
        assert self.socket is not None
        self.socket.send(json.dumps({"type": kind, "plan_id": plan_id, "request_id": request_id, **more}))

    # ---- checks of received frames

    def _ended(self, ended: asyncio.Future[int]) -> None:
        self.close_codes.append(ended.result())
        self._changed.set()

    def _receive(self, frame: bytes) -> None:
        self.frames += 1
        self._recent.append(frame)
        if self.socket is not None and self.socket.code is not None:
            self._wrong("a frame after the close")
        delivery = delivery_of(frame)
        if delivery is not None:
            self._event(delivery, frame)
        else:
            self._other(json.loads(frame), frame)
        self._changed.set()

    def _event(self, delivery: Delivery, frame: bytes) -> None:
        subscription = self.subscriptions.get(delivery.plan_id)
        if subscription is None or not subscription.confirmed:
            self._wrong(f"an event of {delivery.plan_id}, without a subscription")
            return
        if subscription.awaits_snapshot:
            self._wrong(f"event {delivery.offset} came before the snapshot that a gap requires")
        if delivery.first != subscription.position.offset + 1 or delivery.offset < delivery.first:
            at = subscription.position
            self._wrong(f"events {delivery.first} to {delivery.offset} of {delivery.plan_id} came after {at}")
        if delivery.first != delivery.offset and not subscription.knows_positions:
            self._wrong(f"merged events for a client without positions: {delivery.first} to {delivery.offset}")
        subscription.position = self.positions[delivery.plan_id] = Position(delivery.epoch, delivery.offset)
        subscription.just_confirmed = False
        self.recorder.record(delivery)
        if self.on_event is not None:
            self.on_event(delivery, frame)

    def _other(self, message: dict[str, Any], frame: bytes) -> None:
        if self._greeted == (message["type"] == "connected"):
            self._wrong("`connected` must be the first frame and must not be repeated")
        match message["type"]:
            case "connected":
                self._greeted = True
            case "subscription_confirmed":
                self._confirmed(message)
            case "snapshot":
                self._snapshot(message, frame)
            case "unsubscription_confirmed":
                self._unsubscribed(message)
            case "subscription_ended":
                self._subscription_ended(message)
            case "going_away":
                self.hints.append(message["reconnect_after_ms"])
            case "error":
                self._error(message)
            case kind:
                self._wrong(f"unexpected frame type {kind}")

    def _confirmed(self, message: dict[str, Any]) -> None:
        plan_id, position = message["plan_id"], Position(message["epoch"], message["offset"])
        subscription, request_id = self.subscriptions.get(plan_id), message.get("request_id")
        if subscription is None or (request_id is not None and request_id not in subscription.requests):
            self._wrong("a confirmation without a request")
            return
        if request_id is not None:
            del subscription.requests[request_id]
        if message["head"] < position.offset:
            self._wrong("a head before its position")
        if not message["recovered"]:
            if message["reason"] not in REASONS:
                self._wrong(f"unknown reason {message['reason']}")
            repeated = subscription.confirmed and subscription.awaits_snapshot and position == subscription.position
            self.reasons[message["reason"]] += not repeated
            subscription.awaits_snapshot = True
        elif not subscription.confirmed:
            self._check_start(subscription, position)
        elif request_id is None or position.offset != subscription.position.offset:
            subscription.awaits_snapshot = True  # only a snapshot moves an existing subscription
        subscription.confirmed = subscription.just_confirmed = True
        subscription.position = position
        if not subscription.awaits_snapshot:
            self.positions[plan_id] = position

    def _check_start(self, subscription: Subscription, position: Position) -> None:
        match subscription.since:
            case "snapshot":
                subscription.awaits_snapshot = True
            case "start" if position.offset != 0:
                self._wrong(f"requested everything, but it begins after {position}")
            case Position(offset=offset) if position.offset != offset:
                self._wrong(f"requested {subscription.since}, but it begins after {position}")

    def _snapshot(self, message: dict[str, Any], frame: bytes) -> None:
        plan_id, position = message["plan_id"], Position(message["epoch"], message["offset"])
        subscription = self.subscriptions.get(plan_id)
        if subscription is None or not subscription.just_confirmed or subscription.position != position:
            self._wrong(f"a snapshot at {position} without a confirmation before it")
            return
        subscription.awaits_snapshot = subscription.just_confirmed = False
        self.positions[plan_id] = position
        self.recorder.record_snapshot(plan_id, position, frame[frame.index(b'"data":') + 7 : -1])

    def _unsubscribed(self, message: dict[str, Any]) -> None:
        plan_id = self._unsubscribing.pop(message.get("request_id", ""), None)
        if plan_id is None or plan_id != message["plan_id"]:
            self._wrong("an unsubscription without a request")
            return
        subscription = self.subscriptions.pop(plan_id, None)
        number = int(message["request_id"][1:])
        requests = subscription.requests if subscription else {}
        later = {one: since for one, since in requests.items() if int(one[1:]) > number}
        self._replace_subscription(plan_id, later)  # this also answers the earlier requests

    def _replace_subscription(self, plan_id: str, requests: dict[str, Since]) -> None:
        """Starts a new subscription for the requests that the hub had not received when the old one ended."""
        if requests:
            self.subscriptions[plan_id] = again = Subscription(next(iter(requests.values())))
            again.requests = requests

    def _error(self, message: dict[str, Any]) -> None:
        plan_id, request_id = message.get("plan_id"), message.get("request_id")
        self.errors[message["code"]] += 1
        subscription = self.subscriptions.get(plan_id) if plan_id else None
        if subscription is not None and request_id in subscription.requests:
            del subscription.requests[request_id]
            if not subscription.confirmed:
                del self.subscriptions[str(plan_id)]
                self.interrupted[str(plan_id)] = subscription.since
                self._replace_subscription(str(plan_id), subscription.requests)
        if message["code"] not in ("unavailable", "continuity_lost"):
            self._wrong(f"the error {message['code']}: {message['message']}")

    def _subscription_ended(self, message: dict[str, Any]) -> None:
        """`subscription_ended`: its code tells whether to subscribe again."""
        plan_id, code = message["plan_id"], message["code"]
        self.errors[str(code)] += 1
        if (subscription := self.subscriptions.pop(plan_id, None)) is None:
            self._wrong("the end of a subscription that does not exist")
            return
        if code == 2500:
            self.interrupted[plan_id] = "snapshot"
        self._replace_subscription(plan_id, subscription.requests)

    def _wrong(self, problem: str) -> None:
        recent = b"\n    ".join(frame[:160] for frame in self._recent).decode(errors="replace")
        self.recorder.problems.append(f"{self.name}: {problem}\n    {recent}")


async def verify_received(readers: Sequence[Reader], log_url: str, *acks: Path) -> Tally:
    """Waits until each reader has received all events of its plans, then compares everything with the log."""
    log = log_of(log_url)
    await log.open()
    try:
        heads = await log.heads({plan_id for reader in readers for plan_id in reader.subscriptions})
        for reader in readers:
            for plan_id in list(reader.subscriptions):
                await reader.until_at(plan_id, heads[plan_id].offset)
        return await readers[0].recorder.verify(log, *acks)
    finally:
        await log.close()
