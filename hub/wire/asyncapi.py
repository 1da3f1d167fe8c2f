"""docs/asyncapi.json: /ws/streaming for tools that read AsyncAPI 3, made from the same models as the schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from hub.wire.schemas import frame_schemas
from hub.wire.server_frames import PROTOCOL

__all__ = ["asyncapi"]

_ANSWERS: Final[Mapping[str, tuple[str, ...]]] = {
    "subscribe_plan": ("subscription_confirmed", "error"),
    "unsubscribe_plan": ("unsubscription_confirmed", "error"),
    "authenticate": ("authenticated", "error"),
    "plan_input": ("input_accepted", "error"),
    "plan_signal": ("signal_accepted", "error"),
    "ping": ("pong",),
}


def asyncapi() -> dict[str, Any]:
    """The whole document."""
    names = [name.split(".", 1) for name in frame_schemas()]
    asked = [name for side, name in names if side == "client"]
    said = [name for side, name in names if side != "client"]
    answers = {answer for some in _ANSWERS.values() for answer in some}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Plancast",
            "version": str(PROTOCOL),
            "description": "Many plans on one socket. What both sides owe each other: PROTOCOL.md.",
        },
        "defaultContentType": "application/json",
        "channels": {"streaming": _channel(asked + said)},
        "operations": {
            **{name: _asked(name, _ANSWERS[name]) for name in asked},
            "tell": {
                "action": "send",
                "channel": {"$ref": "#/channels/streaming"},
                "messages": _references(name for name in said if name not in answers),
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


def _asked(name: str, answers: Iterable[str]) -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": {"$ref": "#/channels/streaming"},
        "messages": _references([name]),
        "reply": {"channel": {"$ref": "#/channels/streaming"}, "messages": _references(answers)},
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
