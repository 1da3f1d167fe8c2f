"""A model of a LangGraph client: what `useStream` makes of the messages of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from broadcasters.position import Position
from hub.protocols.langgraph.encoder import Cursor, cursor_in

__all__ = ["LangGraphClient", "Received", "received_in"]


class Received(NamedTuple):
    """A message of a stream; its id is that of the last message that had one."""

    event: str
    data: Any
    id: str | None


def received_in(stream: bytes) -> Iterator[Received]:
    """The messages of a stream of server-sent events."""
    last = None
    for block in stream.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        last = fields.get("id", last)
        yield Received(fields["event"], json.loads(fields["data"]), last)


@dataclass
class LangGraphClient:
    """Joins chunks by their ids, and replaces its values by those it receives, as the hook does. Its chunks remain when
    values arrive, and after a cut; only a `remove` drops them."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    chunks: dict[str, str] = field(default_factory=dict[str, str])
    customs: list[Any] = field(default_factory=list[Any])
    steps: dict[str, Any] = field(default_factory=dict[str, Any])
    last: str | None = None
    error: Any = None

    @property
    def texts(self) -> dict[str, str]:
        return {message["id"]: message["content"] for message in self.values.get("messages", ())}

    @property
    def cursor(self) -> Cursor:
        """Where it resumes."""
        return cursor_in(self.last or "") or Cursor(Position("", 0), 0)

    def take(self, messages: Sequence[Received]) -> None:
        for event, data, last in messages:
            self.last = last or self.last
            match event:
                case "values" if "__interrupt__" in data:
                    self.values["__interrupt__"] = data["__interrupt__"]
                case "values":
                    self.values = data
                case "messages":
                    self._join(*data)
                case "custom":
                    self.customs.append(data)
                case "updates":
                    self.steps |= {name: step for name, step in data.items() if name != "__interrupt__"}
                case "error":
                    self.error = data
                case _:
                    assert event == "metadata"

    def _join(self, message: Any, _metadata: Any) -> None:
        messages = {one["id"]: one for one in self.values.get("messages", ())}
        if message["type"] == "remove":
            self.chunks.pop(message["id"], None)
            messages.pop(message["id"], None)
        else:
            self.chunks[message["id"]] = text = self.chunks.get(message["id"], "") + message["content"]
            messages[message["id"]] = {**message, "content": text}
        self.values = {**self.values, "messages": [*messages.values()]}
