"""The schemas in docs/ are those of the models, describe what is sent, and have no broken references."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from broadcasters.events import EVENTS, PlanEvent
from broadcasters.fold import fold
from broadcasters.schemas import main, schema_files
from broadcasters.snapshot import empty, encode
from tests.broadcasters.strategies import EVERY_KIND, PLAN_ID, stories

FOLDER = Path(__file__).parent.parent.parent / "docs" / "schemas"
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
}
SCHEMAS = schema_files()
NAMES = sorted(SCHEMAS)


def problems(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str = "$") -> Iterator[str]:
    """The errors of a value, by the part of JSON Schema that is used here."""
    if "$ref" in schema:
        yield from problems(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, path)
        return
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{path}: {value!r} is no {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    if kind == "object":
        yield from (f"{path}.{name} is missing" for name in schema.get("required", ()) if name not in value)
        named = schema.get("properties", {})
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            for name in value.keys() - named.keys():
                yield from problems(value[name], more, root, f"{path}.{name}")
        elif more is not True:
            yield from (f"{path}.{name} is not in the schema" for name in value if name not in named)
        for name in value.keys() & named.keys():
            yield from problems(value[name], named[name], root, f"{path}.{name}")
    if kind == "array":
        for place, item in enumerate(value):
            yield from problems(item, schema["items"], root, f"{path}[{place}]")


@pytest.mark.parametrize("name", NAMES)
def test_committed_schemas_are_those_of_the_models(name: str) -> None:
    committed = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    assert committed == SCHEMAS[name], "not what the code says: make generate, and commit the difference"


def test_there_is_a_schema_for_everything_and_none_besides() -> None:
    assert {path.name for path in FOLDER.glob("*.json")} == set(NAMES)
    assert set(NAMES) == {f"{name}.json" for name in EVENTS} | {"event.json", "snapshot.json"}


def test_writing_them_gives_what_is_committed(tmp_path: Path) -> None:
    main([str(tmp_path / "schemas")])
    for name in NAMES:
        assert (tmp_path / "schemas" / name).read_bytes() == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("name", EVENTS)
def test_what_is_sent_is_what_the_schema_says(name: str) -> None:
    schema = SCHEMAS[f"{name}.json"]

    @given(EVERY_KIND[name])
    def holds(event: PlanEvent) -> None:
        data = json.loads(event.payload("1"))["data"]
        assert list(problems(data, schema, schema)) == []

    holds()


@given(stories)
def test_a_snapshot_is_what_the_schema_says(story: list[PlanEvent | None]) -> None:
    schema = SCHEMAS["snapshot.json"]
    snapshot = json.loads(encode(fold(empty(PLAN_ID), 1, story)))
    assert list(problems(snapshot, schema, schema)) == []


def test_a_schema_would_be_found_wrong() -> None:
    schema = SCHEMAS["step_update.json"]
    wrong = {"plan_id": 5, "timestamp": "t", "status": "paused", "colour": "red", "attempt": True}
    assert sorted(problems(wrong, schema, schema)) == [
        "$.attempt: True is no integer",
        "$.colour is not in the schema",
        "$.plan_id: 5 is no string",
        f"$.status: 'paused' is none of {schema['properties']['status']['enum']}",
        "$.step_id is missing",
    ]


def test_references_lead_somewhere() -> None:
    for name, schema in SCHEMAS.items():
        for reference in references(schema):
            file, _, inside = reference.partition("#")
            target = SCHEMAS[file or name]
            assert not inside or inside.removeprefix("/$defs/") in target["$defs"]
    assert {f"{name}.json" for name in EVENTS} == set(references(SCHEMAS["event.json"]))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)
