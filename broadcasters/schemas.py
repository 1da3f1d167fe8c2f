"""JSON Schemas of everything that is said and shown, made from the models: `python -m broadcasters.schemas [FOLDER]`.

They describe what is sent: what is null is left out, and what always has a value is required. Fields that the schema
doesn't name may come and are to be ignored.
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

__all__ = ["main", "schema_files", "schema_of"]

FOLDER: Final = Path("docs/schemas")
DIALECT: Final = GenerateJsonSchema.schema_dialect


class _AsSent(GenerateJsonSchema):
    """Null is left out when an event or snapshot is sent, so no field may be null, and what may be null may lack."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False  # a generator of types would make a type of each

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,  # noqa: ARG002 (only typed dictionaries know it)
    ) -> bool:
        schema = field["schema"]
        return not (schema["type"] == "default" and schema.get("default", ...) is None)


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of a model's JSON, as sent."""
    return model.model_json_schema(schema_generator=_AsSent, mode="serialization")


def schema_files() -> dict[str, dict[str, Any]]:
    """Every schema by the name of its file: the data of each type of event, any event in its envelope, a snapshot."""
    files = {f"{name}.json": schema_of(model) for name, model in EVENTS.items()}
    files["event.json"] = _event()
    files["snapshot.json"] = schema_of(Snapshot)
    return {name: {"$schema": DIALECT, "$id": name, **schema} for name, schema in files.items()}


def _event() -> dict[str, Any]:
    return {
        "title": "Event",
        "description": "One thing said about a plan, as the log keeps it. Types not named here may come, too.",
        "oneOf": [_envelope(name) for name in EVENTS],
    }


def _envelope(name: str) -> dict[str, Any]:
    properties = {"type": {"const": name}, "id": {"type": "string"}, "data": {"$ref": f"{name}.json"}}
    trace = {"type": "string", "description": "The traceparent (W3C) of what was being done when it was said."}
    return {"type": "object", "properties": {**properties, "trace": trace}, "required": list(properties)}


def main(arguments: Sequence[str]) -> None:
    folder = Path(arguments[0]) if arguments else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schema_files().items():
        (folder / name).write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
