"""A model of a client of LangGraph's newer protocol: what `ThreadStream` makes of the events of a thread."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Event", "ThreadClient", "events_in"]

Event = dict[str, Any]


def events_in(stream: bytes) -> Iterator[Event]:
    """The events in a stream of server-sent events."""
    for block in stream.decode().split("\n\n")[:-1]:
        kind, data = block.split("\n")
        event: Event = json.loads(data.removeprefix("data: "))
        assert kind == f"event: {event.get('method', 'error')}"
        yield event


@dataclass
class ThreadClient:
    """Ignores events whose id it has, joins the parts of messages, and keeps the last values."""

    texts: dict[str, str] = field(default_factory=dict[str, str])
    customs: list[Any] = field(default_factory=list[Any])
    updates: dict[str, Any] = field(default_factory=dict[str, Any])
    tools: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    states: list[str] = field(default_factory=list[str])
    questions: list[str] = field(default_factory=list[str])
    answered: list[str] = field(default_factory=list[str])
    values: Any = None
    seq: int = 0
    error: str | None = None
    ignored: list[str] = field(default_factory=list[str])
    """Messages that had ended, of which it received a part."""
    _seen: set[str] = field(default_factory=set[str])
    streaming: set[str] = field(default_factory=set[str])

    def take(self, events: Sequence[Event]) -> None:
        for event in events:
            if event["type"] == "error":
                self.error = event["message"]
                continue
            self.seq = max(self.seq, event["seq"])
            event_id = event.get("event_id")
            assert event_id or event["method"] == "values"
            if event_id not in self._seen:
                self._seen |= {event_id} if event_id else set()
                self._apply(event["method"], event["params"])

    def _apply(self, method: str, params: Any) -> None:
        assert params["namespace"] == []
        data = params["data"]
        match method:
            case "values":
                self.values = data
            case "messages":
                self._join(data)
            case "tools":
                self.tools.setdefault(data["tool_call_id"], []).append(data["event"])
            case "updates":
                self.updates |= data["values"]
            case "custom":
                self.customs.append(data["payload"])
            case "input.requested":
                self.questions.append(data["interrupt_id"])
            case "input.answered":
                self.answered += data["interrupt_ids"]
            case _:
                assert method == "lifecycle"
                self.states.append(data["event"])

    def _join(self, data: Any) -> None:
        name = data["message_id"]
        if data["event"] != "message-start" and name not in self.streaming:
            self.ignored.append(name)
            return
        match data:
            case {"event": "message-start"}:
                self.streaming.add(name)
            case {"event": "content-block-start" | "content-block-finish", "content": {"text": text}}:
                self.texts[name] = text
            case {"delta": {"type": "text-delta", "text": text}}:
                self.texts[name] += text
            case {"delta": {"type": "block-delta", "fields": {"text": text}}}:
                self.texts[name] = text
            case _:
                assert data["event"] == "message-finish"
                self.streaming.remove(name)
