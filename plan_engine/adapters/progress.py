"""For plain synchronous code that reports through a callback: `progress_callback(stage, data)`.

    with progress_callback("plan-1", stages={"intent_parsed": "Understand the question"}) as report:
        report.result = agent.process_query(message, progress_callback=report)

Each stage is a step of the plan. Call it from any thread; inside a running event loop it refuses, as it would block it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from threading import Lock
from typing import Any, Final, Literal

from broadcasters.blocking import Broadcaster
from broadcasters.errors import PlancastError
from broadcasters.events import MessageType, StepStatus
from plan_engine.adapters.plain import as_text, cut, fields_of, plain, plain_object, title_of
from plan_engine.adapters.plan_outlet import named
from plan_engine.adapters.questions import text_of

__all__ = ["Report", "progress_callback"]

MAX_CONTENT: Final = 8_000


@contextmanager
def progress_callback(
    plan_id: str,
    *,
    title: str | None = None,
    agent: str = "Agent",
    stages: Mapping[str, str] | None = None,
    broadcaster: Broadcaster | None = None,
) -> Generator[Report]:
    """A callback that tells a plan, which ends as the block does: completed, or with the error that left it.

    `stages` names, in order, what is to come, in words for people: then the plan shows what is being worked on, too.
    Without a broadcaster, one is opened for the block (PLANCAST_LOG says where)."""
    with ExitStack() as stack:
        speaker = broadcaster or stack.enter_context(Broadcaster())
        speaker.send_plan_update(plan_id, title=title and cut(title, 1000), message_type=None)
        report = Report(speaker, plan_id, agent, stages or {})
        try:
            yield report
        except BaseException as error:
            with suppress(PlancastError):
                report.broke_off(error)
            raise
        report.completed()


class Report:
    """Say that a stage is done, and what came of it. A number as `data["progress"]` says how far it is instead.

    `result`, if set, is told when the plan is completed."""

    def __init__(self, broadcaster: Broadcaster, plan_id: str, agent: str, stages: Mapping[str, str]) -> None:
        self.result: Any = None
        self._say = broadcaster
        self._plan_id = plan_id
        self._agent = agent
        self._titles = dict(stages)
        self._told: dict[str, StepStatus] = {}
        self._lock = Lock()  # two threads may report at once
        for stage in self._titles:
            self._step(stage, "pending")
        self._begin_next()

    def __call__(self, stage: str, data: Any = None) -> None:
        percent = fields_of(data).get("progress")
        with self._lock:
            if isinstance(percent, int | float) and not isinstance(percent, bool):
                self._step(stage, "in_progress", text_of(data), progress=min(100.0, max(0.0, percent)))
                return
            self._step(stage, "completed", data=plain_object(data))
            if text := data if isinstance(data, str) else text_of(data):
                self._message(stage, text, "result")
            self._begin_next()

    def completed(self) -> None:
        """Called when the block is left."""
        self._close("skipped")
        result = None if self.result is None else {"result": plain(self.result)}
        self._say.send_plan_update(self._plan_id, status="completed", message_type=None, data=result)

    def broke_off(self, error: BaseException) -> None:
        """Called when an exception leaves the block."""
        status: Literal["error", "cancelled"] = "error" if isinstance(error, Exception) else "cancelled"
        told = as_text(error) if status == "error" else "Cancelled."
        self._close(status)
        self._say.send_plan_update(self._plan_id, content=told, status=status, message_type=None)

    def _begin_next(self) -> None:
        """Stages come in their order: the first that wasn't reported is being worked on."""
        if waiting := next((stage for stage, status in self._told.items() if status == "pending"), None):
            self._step(waiting, "in_progress")

    def _close(self, status: StepStatus) -> None:
        """What was under way has ended so; what never began was skipped."""
        for stage, told in [*self._told.items()]:
            if told == "in_progress":
                self._step(stage, status)
            elif told == "pending":
                self._step(stage, "skipped")

    def _step(self, stage: str, status: StepStatus, content: str | None = None, **fields: Any) -> None:
        title = self._titles.get(stage) or title_of(stage)
        content = cut(content or "", MAX_CONTENT)
        self._say.send_step_update(self._plan_id, named(stage), status, content, title=cut(title, 1000), **fields)
        self._told[stage] = status

    def _message(self, stage: str, text: str, kind: MessageType) -> None:
        with self._say.message(self._plan_id, named(self._agent), kind, step_id=named(stage)) as message:
            message.write(text.encode("utf-8", "replace").decode())
