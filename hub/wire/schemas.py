"""Generates the documents of the protocol from the models: JSON Schemas of all frames, AsyncAPI 3, and the codes.

`python -m hub.wire.schemas` writes them into docs/.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, create_model

from broadcasters.events import EVENTS, PlanEvent, PlanId
from broadcasters.schemas import AsSent
from broadcasters.snapshot import Snapshot
from hub.wire.client_frames import CLIENT_FRAMES
from hub.wire.codes import (
    CLOSE_CODES,
    ERROR_CODES,
    SUBSCRIPTION_CODES,
    CloseCode,
    Code,
    ErrorCode,
    SubscriptionCode,
    reconnectable,
)
from hub.wire.server_frames import PROTOCOL, SERVER_FRAMES

__all__ = ["SnapshotFrame", "asyncapi", "documents", "event_frame", "frame_schemas", "write"]

_Offset = Annotated[int, Field(ge=0)]


class SnapshotFrame(BaseModel):
    """The folded plan up to a position. It replaces everything that the client had of that plan."""

    type: Literal["snapshot"]
    plan_id: PlanId
    epoch: str
    offset: _Offset
    data: Snapshot


def event_frame(kind: str, cls: type[PlanEvent]) -> type[BaseModel]:
    """The frame of an event of this class."""
    fields: dict[str, Any] = {
        "type": (Literal[kind], ...),
        "plan_id": (PlanId, ...),
        "epoch": (str, ...),
        "offset": (
            Annotated[int, Field(ge=1, description="Its offset in the log: one more than that of the event before.")],
            ...,
        ),
        "first": (
            Annotated[
                int | None, Field(ge=1, description="The frame stands for all events from this offset to `offset`.")
            ],
            None,
        ),
        "id": (Annotated[str, Field(description="The id of the event, the same wherever it is received.")], ...),
        "trace": (
            Annotated[str | None, Field(description="The trace it was published in: a W3C traceparent.")],
            None,
        ),
        "data": (cls, ...),
    }
    frame: type[BaseModel] = create_model(cls.__name__ + "Frame", __doc__=cls.__doc__, **fields)
    return frame


def frame_schemas() -> Mapping[str, dict[str, Any]]:
    """The JSON Schemas of all frames by name: `client.subscribe_plan`, `server.connected`, `event.plan_update`, …"""
    schemas = {f"client.{name}": _schema(model, "validation") for name, model in CLIENT_FRAMES.items()}
    schemas |= {f"server.{name}": _schema(model, "serialization") for name, model in SERVER_FRAMES.items()}
    schemas["server.snapshot"] = _schema(SnapshotFrame, "serialization")
    schemas |= {f"event.{name}": _schema(event_frame(name, cls), "serialization") for name, cls in EVENTS.items()}
    return schemas


def _schema(model: type[BaseModel], mode: Literal["validation", "serialization"]) -> dict[str, Any]:
    return {"$schema": AsSent.schema_dialect, **model.model_json_schema(mode=mode, schema_generator=AsSent)}


# -- AsyncAPI ----------------------------------------------------------------------------------------------------------

_REPLIES: Final[Mapping[str, tuple[str, ...]]] = {
    "subscribe_plan": ("subscription_confirmed", "error"),
    "unsubscribe_plan": ("unsubscription_confirmed", "error"),
    "authenticate": ("authenticated", "error"),
    "plan_input": ("input_accepted", "error"),
    "plan_signal": ("signal_accepted", "error"),
    "ping": ("pong",),
}


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI document of /ws/streaming."""
    names = [name.split(".", 1) for name in frame_schemas()]
    requests = [name for side, name in names if side == "client"]
    sent = [name for side, name in names if side != "client"]
    replies = {reply for some in _REPLIES.values() for reply in some}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Plancast",
            "version": str(PROTOCOL),
            "description": "Many plans on one socket. The rules for both sides are in PROTOCOL.md.",
        },
        "defaultContentType": "application/json",
        "channels": {"streaming": _channel(requests + sent)},
        "operations": {
            **{name: _operation(name, _REPLIES[name]) for name in requests},
            "tell": {
                "action": "send",
                "channel": {"$ref": "#/channels/streaming"},
                "messages": _references(name for name in sent if name not in replies),
            },
        },
        "components": {"messages": dict(_messages())},
    }


def _channel(names: Iterable[str]) -> dict[str, Any]:
    return {
        "address": "/ws/streaming",
        "description": "Text frames of JSON, one object a frame.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"ws": {"method": "GET"}},
    }


def _operation(name: str, replies: Iterable[str]) -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": {"$ref": "#/channels/streaming"},
        "messages": _references([name]),
        "reply": {"channel": {"$ref": "#/channels/streaming"}, "messages": _references(replies)},
    }


def _references(names: Iterable[str]) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/streaming/messages/{name}"} for name in names]


def _messages() -> Iterable[tuple[str, dict[str, Any]]]:
    for full_name, schema in frame_schemas().items():
        name = full_name.split(".", 1)[1]
        yield (
            name,
            {
                "name": name,
                "summary": schema.get("description", name).split("\n\n")[0].replace("\n", " "),
                "payload": {"$ref": f"schemas/wire/{full_name}.json"},
            },
        )


# -- all documents -----------------------------------------------------------------------------------------------------


def documents() -> Mapping[str, str]:
    """All generated documents by their path below docs/."""
    texts = {f"schemas/wire/{name}.json": _text(schema) for name, schema in frame_schemas().items()}
    return texts | {"asyncapi.json": _text(asyncapi()), "codes.json": _text(_codes())}


def _codes() -> dict[str, list[dict[str, Any]]]:
    """All codes as data, for clients in other languages."""
    return {
        "close": [{**_code(c, about), "reconnect": reconnectable(c)} for c, about in CLOSE_CODES.items()],
        "subscription": [_code(c, about) for c, about in SUBSCRIPTION_CODES.items()],
        "error": [_code(c, about) for c, about in ERROR_CODES.items()],
    }


def _code(code: CloseCode | SubscriptionCode | ErrorCode, about: Code) -> dict[str, Any]:
    return {"code": code.value, "name": code.name.lower(), **asdict(about)}


def _text(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=False) + "\n"


def write(docs: Path) -> None:
    """Write all documents, and remove the schemas of frames that no longer exist."""
    texts = documents()
    for stale in set((docs / "schemas/wire").glob("*.json")) - {docs / path for path in texts}:
        stale.unlink()
    for path, text in texts.items():
        (docs / path).parent.mkdir(parents=True, exist_ok=True)
        (docs / path).write_text(text)


if __name__ == "__main__":
    write(Path("docs"))
