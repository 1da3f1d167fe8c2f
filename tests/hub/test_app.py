"""H-OPS-1: the application's OpenAPI document, health and metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from hub.api.problems import STATUS
from hub.wire.codes import ErrorCode
from scripts import openapi
from tests.servers import RedisServer, eventually
from tests.servers.hub import HubServer

PUBLIC = {"GET /langgraph/ok", "GET /langgraph/info"}
"""What clients ask before they have a token."""
METHODS = ("get", "post", "put", "delete", "patch", "head", "options")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi.document()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def test_the_committed_document_is_this_one(document: dict[str, Any]) -> None:
    up_to_date = openapi.COMMITTED.read_text(encoding="utf-8") == openapi.written(document)
    assert up_to_date, "docs/openapi.json is not what the code says: make generate, and commit the difference"


def test_every_operation_has_a_unique_id_that_clients_can_use(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
    assert {"publish_events", "read_events", "get_plan", "list_plans", "stream_plan", "append_log"} <= set(names)


def test_every_operation_has_a_description_and_a_tag(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    for name, operation in operations(document):
        assert operation["description"], name
        assert set(operation["tags"]) <= tags, name


def test_every_failure_is_a_problem(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        if "operations" in operation["tags"]:
            continue
        failures = {status: one for status, one in operation["responses"].items() if status >= "400"}
        if "protocols" in operation["tags"]:  # each has its own shape
            continue
        assert {"401", "403", "422", "503"} <= failures.keys(), name
        if operation["operationId"].startswith("macae_"):  # its page shows `detail`
            failures = {status: one for status, one in failures.items() if "application/json" not in one["content"]}
        for response in failures.values():
            assert list(response["content"]) == ["application/problem+json"], name
            assert response["content"]["application/problem+json"]["schema"] == {
                "$ref": "#/components/schemas/ProblemBody"
            }
        if operation.get("requestBody"):
            assert "413" in operation["responses"], name
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_response_has_a_schema(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if status.startswith("2") and status != "204" and "protocols" not in operation["tags"]:
                schemas = [content["schema"] for content in response["content"].values()]
                assert (schemas and all(schemas)) or "operations" in operation["tags"], name


def test_there_are_two_ways_to_authenticate(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert (schemes["token"]["type"], schemes["token"]["scheme"], schemes["token"]["bearerFormat"]) == (
        "http",
        "bearer",
        "JWT",
    )
    assert (schemes["ticket"]["in"], schemes["ticket"]["name"]) == ("query", "ticket")
    for name, operation in operations(document):
        if "operations" not in operation["tags"] and name not in PUBLIC:
            assert operation["security"] == [{"token": []}, {"ticket": []}, {}], name


def test_every_reference_can_be_resolved(document: dict[str, Any]) -> None:
    found = [line.split('"')[3] for line in json.dumps(document, indent=0).splitlines() if line.startswith('"$ref"')]
    assert found
    for reference in found:
        at: Any = document
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]


def test_every_error_code_has_a_status() -> None:
    assert set(STATUS) == set(ErrorCode)


def test_a_hub_is_ready_while_probe_events_come_back() -> None:
    with RedisServer() as redis, HubServer(redis.url) as hub, httpx.Client(base_url=hub.url, timeout=30) as asking:
        assert asking.get("/healthz").json() == {"status": "ok"}
        assert asking.get("/readyz").status_code == 200
        assert "plancast_connections" in asking.get("/metrics").text
        redis.kill()
        eventually("the hub is not ready", lambda: asking.get("/readyz").status_code == 503, 15)
        refused = asking.get("/readyz").json()
        assert refused["status"] == "not ready"
        assert refused["problem"]
        assert asking.get("/healthz").status_code == 200
