"""The JSON Schemas of all frames, made from the models. `python -m hub.wire.schemas` writes them into docs/."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from broadcasters.events import EVENTS, PlanEvent, PlanId
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
from hub.wire.server_frames import SERVER_FRAMES

__all__ = ["SnapshotFrame", "documents", "event_frame", "frame_schemas", "write"]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_Offset = Annotated[int, Field(ge=0)]


class SnapshotFrame(BaseModel):
    """The folded plan up to a place. It replaces whatever the client had of that plan."""

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
        "offset": (Annotated[int, Field(ge=1, description="Its place: one more than that of the event before.")], ...),
        "first": (
            Annotated[int | None, Field(ge=1, description="The frame stands for all events from here to offset.")],
            None,
        ),
        "id": (Annotated[str, Field(description="The same wherever and however often the event is seen.")], ...),
        "trace": (
            Annotated[str | None, Field(description="The trace it was said in: a W3C traceparent.")],
            None,
        ),
        "data": (cls, ...),
    }
    frame: type[BaseModel] = create_model(cls.__name__ + "Frame", __doc__=cls.__doc__, **fields)
    return frame


def frame_schemas() -> Mapping[str, dict[str, Any]]:
    """By name: `client.subscribe_plan`, `server.connected`, `event.plan_update` and so on."""
    schemas = {f"client.{name}": _schema(model, "validation") for name, model in CLIENT_FRAMES.items()}
    schemas |= {f"server.{name}": _schema(model, "serialization") for name, model in SERVER_FRAMES.items()}
    schemas["server.snapshot"] = _schema(SnapshotFrame, "serialization")
    schemas |= {f"event.{name}": _schema(event_frame(name, cls), "serialization") for name, cls in EVENTS.items()}
    return schemas


class _AsSent(GenerateJsonSchema):
    """What is None is left out of what the hub sends: such fields are optional there, and never null."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        if self.mode == "validation":
            return super().field_is_required(field, total)
        schema = field["schema"]
        return schema["type"] != "default" or schema.get("default", ...) is not None

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        return super().nullable_schema(schema) if self.mode == "validation" else self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        said = super().default_schema(schema)
        if "default" in said and (said["default"] is None or "const" in said):
            del said["default"]
        return said

    def field_title_should_be_set(self, schema: Any) -> bool:  # a title a field says nothing
        del schema
        return False


def _schema(model: type[BaseModel], mode: Literal["validation", "serialization"]) -> dict[str, Any]:
    return {"$schema": _DIALECT, **model.model_json_schema(mode=mode, schema_generator=_AsSent)}


def documents() -> Mapping[str, str]:
    """All generated documents: path below docs/ -> text."""
    from hub.wire.asyncapi import asyncapi

    texts = {f"schemas/wire/{name}.json": _text(schema) for name, schema in frame_schemas().items()}
    return texts | {"asyncapi.json": _text(asyncapi()), "codes.json": _text(_codes())}


def _codes() -> dict[str, list[dict[str, Any]]]:
    """All codes, for clients in other languages."""
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
    """Write what is out of date, and remove schemas of frames that are no more."""
    texts = documents()
    for stale in set((docs / "schemas/wire").glob("*.json")) - {docs / path for path in texts}:
        stale.unlink()
    for path, text in texts.items():
        (docs / path).parent.mkdir(parents=True, exist_ok=True)
        (docs / path).write_text(text)


if __name__ == "__main__":
    write(Path("docs"))
