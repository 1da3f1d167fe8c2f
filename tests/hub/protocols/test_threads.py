"""Threads: sequences of plans, the input of a template from a message, and who may use them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from broadcasters import InvalidPlanId
from broadcasters.events import PlanUpdate, build
from broadcasters.snapshot import Snapshot
from hub.access.principal import Principal
from hub.api.problems import Problem
from hub.config.settings import Settings
from hub.engine_port import TemplateInfo
from hub.node import Hub
from hub.protocols.threads import Threads, input_of, may_have_started, plan_id_in, request_of, split_plan_id

ANYONE = Principal.development()


@pytest.mark.parametrize(
    ("plan_id", "thread"),
    [("chat", ("chat", 1)), ("chat.2", ("chat", 2)), ("chat.12", ("chat", 12)), ("a.b.3", ("a.b", 3))],
)
def test_ids_of_plans_name_their_thread(plan_id: str, thread: tuple[str, int]) -> None:
    assert split_plan_id(plan_id) == thread
    assert plan_id_in(*thread) == plan_id


@pytest.mark.parametrize("plan_id", ["chat.1", "chat.0", "chat.02", "chat.x", ".2", "chat."])
def test_other_ids_are_threads_themselves(plan_id: str) -> None:
    assert split_plan_id(plan_id) == (plan_id, 1)


def test_an_id_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidPlanId):
        plan_id_in("a chat", 1)


def template(required: list[str], **properties: str) -> TemplateInfo:
    fields = {name: {"type": kind} for name, kind in properties.items()}
    return TemplateInfo("t", "T", "", {"type": "object", "properties": fields, "required": required})


@pytest.mark.parametrize(
    ("info", "fields", "expected"),
    [
        (
            template(["request"], request="string", limit="integer"),
            {"limit": 3, "other": 1},
            {"request": "Hi", "limit": 3},
        ),
        (template([], theme="string"), {}, {"theme": "Hi"}),
        (template(["a", "b"], a="string", b="string"), {"a": "x"}, {"a": "x", "b": "Hi"}),
        (template(["a"], a="string", note="string"), {}, {"a": "Hi"}),
        (template(["a"], a="string"), {"a": "x"}, {"a": "x"}),
    ],
)
def test_a_message_becomes_the_only_required_text(
    info: TemplateInfo, fields: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    assert input_of(info, "Hi", fields) == expected


@pytest.mark.parametrize(
    "info", [template(["a", "b"], a="string", b="string"), template([], n="integer"), template([])]
)
def test_a_message_that_fits_no_field_is_refused(info: TemplateInfo) -> None:
    with pytest.raises(Problem) as refused:
        input_of(info, "Hi", {})
    assert refused.value.body["code"] == "invalid_field"


def test_fields_alone_are_the_input() -> None:
    assert input_of(template(["a"], a="string"), None, {"a": "x", "other": 1}) == {"a": "x"}
    assert input_of(template(["a"], a="string"), None, {}) == {}


@pytest.mark.parametrize(
    ("data", "title", "request_text"),
    [
        ({"template": "t", "request": "What is\nit?"}, "What is it?", "What is\nit?"),
        ({"template": "t"}, "What is it?", "What is it?"),
        ({"request": 3}, None, ""),
        (None, None, ""),
    ],
)
def test_what_a_person_wrote(data: dict[str, Any] | None, title: str | None, request_text: str) -> None:
    """H-PLN-8."""
    assert request_of(Snapshot(plan_id="chat", title=title, data=data)) == request_text


def test_a_message_that_may_have_started_a_plan() -> None:
    def started(request: str | None, text: str) -> bool:
        return may_have_started(text, Snapshot(plan_id="chat", data={"request": request} if request else None))

    assert started(None, "Hi")
    assert started("Hi", "Hi ")
    assert started("é…", "ébc")
    assert not started("Hi", "Hello")
    assert not started("Hi", "Hi you")


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with Hub(Settings(log=f"sqlite:///{tmp_path}/plans.db")) as hub:
        yield hub


async def test_a_thread_is_found_by_its_plans(hub: Hub) -> None:
    threads = Threads(hub)
    assert await threads.newest(ANYONE, "chat") is None
    for number in range(1, 19):
        await hub.broadcaster.send(build(PlanUpdate, {"plan_id": plan_id_in("chat", number), "title": str(number)}))
    newest = await threads.newest(ANYONE, "chat")
    assert newest is not None
    assert (newest.number, newest.plan.title, newest.ended) == (18, "18", False)
    assert [one.plan.title for one in await threads.all(ANYONE, "chat")] == [str(number) for number in range(1, 19)]


async def test_a_hub_without_an_engine_has_no_templates(hub: Hub) -> None:
    with pytest.raises(Problem) as refused:
        Threads(hub).template("business_operations")
    assert refused.value.status_code == 404
