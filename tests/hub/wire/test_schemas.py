"""The documents in docs/ are those that the code generates: C-FRM-4."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from broadcasters.events import EVENTS
from hub.wire.client_frames import CLIENT_FRAMES
from hub.wire.schemas import documents, frame_schemas, write
from hub.wire.server_frames import SERVER_FRAMES

DOCS = Path(__file__).parents[3] / "docs"
SCHEMAS = frame_schemas()


def test_the_documents_are_up_to_date() -> None:
    stale = [path for path, text in documents().items() if (DOCS / path).read_text() != text]
    assert stale == [], "differs from the code: run make generate, and commit the difference"
    assert {path.name for path in DOCS.glob("schemas/wire/*")} == {f"{name}.json" for name in SCHEMAS}


def test_writing_removes_obsolete_schemas(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "schemas/wire/client.gone.json").touch()
    write(tmp_path)
    assert not (tmp_path / "schemas/wire/client.gone.json").exists()
    assert json.loads((tmp_path / "asyncapi.json").read_text())["asyncapi"] == "3.0.0"


def test_there_is_a_schema_for_every_frame() -> None:
    expected = {f"client.{name}" for name in CLIENT_FRAMES} | {f"server.{name}" for name in SERVER_FRAMES}
    assert set(SCHEMAS) == expected | {f"event.{name}" for name in EVENTS} | {"server.snapshot"}


@pytest.mark.parametrize("name", [name for name in SCHEMAS if not name.startswith("client.")])
def test_sent_fields_are_never_null(name: str) -> None:
    assert '"null"' not in json.dumps(SCHEMAS[name])
    assert "type" in SCHEMAS[name]["required"]


def test_fields_that_may_be_left_out_are_optional_and_others_are_not() -> None:
    confirmed = SCHEMAS["server.subscription_confirmed"]
    assert confirmed["required"] == ["type", "plan_id", "epoch", "offset", "head", "recovered"]
    assert SCHEMAS["client.subscribe_plan"]["required"] == ["type", "plan_id"]
    update = SCHEMAS["event.plan_update"]["$defs"]["PlanUpdate"]
    assert update["required"] == ["plan_id", "timestamp", "status"]
    assert SCHEMAS["event.input_response"]["$defs"]["InputResponse"]["required"][-1] == "at"


def references(document: Any) -> list[str]:
    if isinstance(document, dict):
        own = [document["$ref"]] if isinstance(document.get("$ref"), str) else []
        return own + [ref for value in document.values() for ref in references(value)]
    return [ref for item in document for ref in references(item)] if isinstance(document, list) else []


def test_the_references_of_the_asyncapi_document_resolve() -> None:
    document = json.loads((DOCS / "asyncapi.json").read_text())
    refs = references(document)
    assert len(refs) > len(SCHEMAS)
    for ref in refs:
        if not ref.startswith("#/"):
            assert (DOCS / ref).exists(), ref
            continue
        at = document
        for part in ref[2:].split("/"):
            at = at[part]
