"""JSON Schemas of events and snapshots, generated from the models: `python -m broadcasters.schemas [FOLDER]`.

They describe what is sent: null members are omitted, and those that always have a value are required. Members that a
schema does not name are allowed, and must be ignored.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from broadcasters.events import EVENTS
from broadcasters.snapshot import Snapshot

__all__ = ["DIALECT", "AsSent", "main", "schema_files", "schema_of"]

FOLDER: Final = Path("docs/schemas")
DIALECT: Final = GenerateJsonSchema.schema_dialect


class AsSent(GenerateJsonSchema):
    """Schemas of what is sent: members that are null are omitted, so no member may be null, and those may be missing.

    In `validation` mode, for what is received, null stays allowed.
    """

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return super().nullable_schema(schema) if self.mode == "validation" else self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        described = super().default_schema(schema)
        if "default" in described and (described["default"] is None or "const" in described):
            del described["default"]
        return described

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False  # type generators would make a type of each

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        if self.mode == "validation":
            return super().field_is_required(field, total)
        schema = field["schema"]
        return schema["type"] != "default" or schema.get("default", ...) is not None


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of a model, as sent."""
    return model.model_json_schema(schema_generator=AsSent, mode="serialization")


def schema_files() -> dict[str, dict[str, Any]]:
    """All schemas by file name: the data of each type of event, an event with its envelope, and a snapshot."""
    files = {f"{name}.json": schema_of(model) for name, model in EVENTS.items()}
    files["event.json"] = _event()
    files["snapshot.json"] = schema_of(Snapshot)
    return {name: {"$schema": DIALECT, "$id": name, **schema} for name, schema in files.items()}


def _event() -> dict[str, Any]:
    return {
        "title": "Event",
        "description": "An event of a plan, as the log stores it. Other types than those named here may occur.",
        "oneOf": [_envelope(name) for name in EVENTS],
    }


def _envelope(name: str) -> dict[str, Any]:
    properties = {"type": {"const": name}, "id": {"type": "string"}, "data": {"$ref": f"{name}.json"}}
    trace = {"type": "string", "description": "The W3C traceparent that was current when the event was sent."}
    return {"type": "object", "properties": {**properties, "trace": trace}, "required": list(properties)}


def main(arguments: Sequence[str]) -> None:
    folder = Path(arguments[0]) if arguments else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schema_files().items():
        (folder / name).write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
