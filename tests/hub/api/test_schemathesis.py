"""Generated requests, valid and invalid by the OpenAPI document: no server error, and only documented responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from hub.app import create_app
from hub.commands.embedded import Embedded
from hub.config.settings import load
from hub.node import Hub
from plan_engine import Engine
from tests.hub.dialects.servers import working_hub
from tests.servers.hub import HubServer

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
ENDLESS = {
    *("chat_stream", "plan_trip", "stream_plan", "stream_plans", "tail_logs", "send_sample", "read_stream"),
    *("ag_ui", "connect_ag_ui_agent", "run_ag_ui_agent", "run_ag_ui_template"),
    *("begin_run_and_stream", "begin_run_and_wait", "begin_thread_and_stream", "begin_thread_and_wait"),
    *("begin_run", "begin_thread", "join_run_stream", "join_run", "cancel_run"),
    *("stream_thread", "stream_thread_events"),
}
"""Operations that stream or wait, or start plans without end; they have their own tests."""
REFUSED = ENDLESS - {
    *("chat_stream", "plan_trip", "stream_plan", "stream_plans", "tail_logs", "send_sample"),
    *("stream_thread", "stream_thread_events"),
}
"""Those of other protocols, which end where there are no plans and none can be started."""


@pytest.fixture(scope="module")
def server() -> Iterator[HubServer]:
    """A hub with an engine and the dialects."""
    with working_hub() as hub:
        yield hub


@schemathesis.serializer("application/x-ndjson")
def lines(_: schemathesis.SerializationContext, value: Any) -> bytes:
    """The lines of a body."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


schema = schemathesis.openapi.from_dict(
    create_app(Hub(load({"PLANCAST_LOG": "sqlite:////tmp/never-opened.db"}), engine=Embedded(Engine()))).openapi()
)

everything = schema.exclude(operation_id=list(ENDLESS))
refused = schema.include(operation_id=list(REFUSED))
always = [
    HealthCheck.function_scoped_fixture,
    HealthCheck.too_slow,
    HealthCheck.filter_too_much,
    HealthCheck.data_too_large,
]


def ask(case: schemathesis.Case[Any], hub: HubServer) -> None:
    """Keep waits short; change nothing else."""
    if case.query.get("wait") not in (None, 0):
        case.query["wait"] = 0.01
    case.call_and_validate(base_url=hub.url, checks=list(CHECKS), timeout=30)


@everything.parametrize()
@settings(max_examples=12, suppress_health_check=always, phases=[Phase.explicit, Phase.generate])
def test_a_few_requests_of_each_kind_do_no_harm(case: schemathesis.Case[Any], server: HubServer) -> None:
    ask(case, server)


@pytest.mark.slow
@pytest.mark.timeout(600)
@everything.parametrize()
@settings(max_examples=300, suppress_health_check=always, phases=[Phase.explicit, Phase.generate])
def test_many_requests_of_each_kind_do_no_harm(case: schemathesis.Case[Any], server: HubServer) -> None:
    ask(case, server)


@pytest.mark.slow
@pytest.mark.timeout(600)
@refused.parametrize()
@settings(max_examples=100, suppress_health_check=always, phases=[Phase.explicit, Phase.generate])
def test_many_requests_for_streams_do_no_harm(case: schemathesis.Case[Any], development_hub: HubServer) -> None:
    ask(case, development_hub)
