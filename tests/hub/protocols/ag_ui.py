"""A client of AG-UI as the protocol describes it: it verifies the order of events, and keeps messages and state.

The vectors of tests/vectors/protocols/ag_ui show that the npm client agrees with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["AgUiClient", "events_in"]


def events_in(received: bytes) -> Iterator[dict[str, Any]]:
    """The events of a stream."""
    for message in received.decode().split("\n\n"):
        lines = [line for line in message.split("\n") if line and not line.startswith(":")]
        assert all(line.startswith("data: ") for line in lines), message
        if lines:
            yield json.loads("".join(line[6:] for line in lines))


@dataclass
class AgUiClient:
    """Call `take` with the events of one run after another."""

    messages: list[dict[str, Any]] = field(default_factory=list[Any])
    state: Any = field(default_factory=dict[Any, Any])
    frames: list[Any] = field(default_factory=list[Any])
    """The original frames that came as metadata."""
    opened: list[str] = field(default_factory=list[Any])
    """Everything that was opened, in order."""
    outcome: dict[str, Any] | None = None
    """The last event of the run."""
    open: set[tuple[str, str]] = field(default_factory=set[Any])

    def begin(self) -> None:
        """A new run."""
        self.open, self.outcome, self.frames, self.opened = set(), None, [], []

    def take(self, received: bytes) -> AgUiClient:
        for one in events_in(received):
            self.take_event(one)
        return self

    def take_event(self, event: Mapping[str, Any]) -> None:
        assert self.outcome is None, f"{event} after {self.outcome}"
        kind = event["type"]
        assert None not in event.values(), event
        if kind in ("RUN_FINISHED", "RUN_ERROR"):
            assert not self.open, f"still open: {self.open}"
            self.outcome = dict(event)
        elif kind.startswith("STEP_"):
            self._bracket("step", event["stepName"], kind.endswith("STARTED"))
        else:
            getattr(self, f"_{kind.lower()}")(event)

    def posted(self) -> list[dict[str, Any]]:
        """The messages that it sends with its next request."""
        return [message for message in self.messages if message["role"] != "activity"]

    # -- the shared state

    def _state_snapshot(self, event: Mapping[str, Any]) -> None:
        self.state = event["snapshot"]

    def _state_delta(self, event: Mapping[str, Any]) -> None:
        self.frames += [event["metadata"]["plancast"]] if "metadata" in event else []
        for operation in event["delta"]:
            *path, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
            at: Any = self.state
            for part in path:
                at = at[int(part) if part.isdigit() else part]
            self._patch(at, last, operation)

    def _patch(self, at: Any, last: str, operation: Mapping[str, Any]) -> None:
        kind, value = operation["op"], operation.get("value")
        if kind == "add" and last == "-":
            at.append(value)
        elif kind == "add":
            at[last] = value
        elif kind == "replace":
            key: Any = int(last) if isinstance(at, list) else last
            assert at[key] is not self  # it exists
            at[key] = value
        else:
            del at[last]

    # -- messages

    def _messages_snapshot(self, event: Mapping[str, Any]) -> None:
        given = {message["id"]: message for message in event["messages"]}
        own = event["metadata"]["@ag-ui/client"]["authoritativeActivityTypes"]
        reasons = any(message["role"] == "reasoning" for message in given.values())
        kept = [message for message in self.messages if message["id"] in given or self._stays(message, own, reasons)]
        self.messages = [dict(given.get(message["id"], message)) for message in kept]
        known = {message["id"] for message in self.messages}
        self.messages += [dict(message) for key, message in given.items() if key not in known]

    def _stays(self, message: Mapping[str, Any], own: Sequence[str], reasons: bool) -> bool:
        if message["role"] == "activity":
            return message["activityType"] not in own
        return message["role"] == "reasoning" and not reasons

    def _text_message_start(self, event: Mapping[str, Any]) -> None:
        self._start(event, "text", {"role": event["role"], "name": event["name"]})

    def _reasoning_start(self, event: Mapping[str, Any]) -> None:
        self._bracket("span", event["messageId"], True)

    def _reasoning_message_start(self, event: Mapping[str, Any]) -> None:
        self._start(event, "reasoning", {"role": event["role"]})

    def _start(self, event: Mapping[str, Any], kind: str, fields: Mapping[str, Any]) -> None:
        self._bracket(kind, event["messageId"], True)
        message = self._message(event["messageId"])
        if message is None:
            message = dict[str, Any](id=event["messageId"], **fields, content="")
            self.messages.append(message)
        message["metadata"] = {**message.get("metadata", {}), **event["metadata"]}

    def _text_message_content(self, event: Mapping[str, Any]) -> None:
        self._add("text", event)

    def _reasoning_message_content(self, event: Mapping[str, Any]) -> None:
        self._add("reasoning", event)

    def _add(self, kind: str, event: Mapping[str, Any]) -> None:
        assert (kind, event["messageId"]) in self.open, event
        self._known(event["messageId"])["content"] += event["delta"]

    def _text_message_end(self, event: Mapping[str, Any]) -> None:
        self._end("text", event)

    def _reasoning_message_end(self, event: Mapping[str, Any]) -> None:
        self._end("reasoning", event)

    def _reasoning_end(self, event: Mapping[str, Any]) -> None:
        self._bracket("span", event["messageId"], False)

    def _end(self, kind: str, event: Mapping[str, Any]) -> None:
        self._bracket(kind, event["messageId"], False)
        message = self._known(event["messageId"])
        message["metadata"] = {**message["metadata"], **event["metadata"]}

    # -- tools and activities

    def _tool_call_start(self, event: Mapping[str, Any]) -> None:
        self._bracket("call", event["toolCallId"], True)
        function = {"name": event["toolCallName"], "arguments": ""}
        call = {"id": event["toolCallId"], "type": "function", "function": function, "metadata": event["metadata"]}
        assert self._message(event["toolCallId"]) is None
        self.messages.append({"id": event["toolCallId"], "role": "assistant", "toolCalls": [call]})

    def _tool_call_args(self, event: Mapping[str, Any]) -> None:
        assert ("call", event["toolCallId"]) in self.open
        self._known(event["toolCallId"])["toolCalls"][0]["function"]["arguments"] += event["delta"]

    def _tool_call_end(self, event: Mapping[str, Any]) -> None:
        self._bracket("call", event["toolCallId"], False)

    def _tool_call_result(self, event: Mapping[str, Any]) -> None:
        assert self._message(event["messageId"]) is None, f"{event['messageId']} twice"
        fields = {name: event[name] for name in ("role", "toolCallId", "content", "metadata")}
        at = self.messages.index(self._known(event["toolCallId"])) + 1
        self.messages.insert(at, {"id": event["messageId"], **fields})

    def _activity_snapshot(self, event: Mapping[str, Any]) -> None:
        fields = {name: event[name] for name in ("activityType", "content")}
        message = self._message(event["messageId"])
        if message is None:
            self.messages.append({"id": event["messageId"], "role": "activity", **fields})
        else:
            message.update(fields)

    # --

    def _bracket(self, kind: str, name: str, opens: bool) -> None:
        assert ((kind, name) in self.open) is not opens, f"{kind} {name}: opened twice, or closed without"
        (self.open.add if opens else self.open.remove)((kind, name))
        if opens:
            self.opened.append(f"{kind} {name}")

    def _message(self, message_id: str) -> dict[str, Any] | None:
        return next((message for message in self.messages if message["id"] == message_id), None)

    def _known(self, message_id: str) -> dict[str, Any]:
        message = self._message(message_id)
        assert message is not None, f"no message {message_id}"
        return message
