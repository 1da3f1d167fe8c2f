"""For synchronous code that reports through a callback: `progress_callback(stage, data)`.

    with progress_callback("plan-1", stages={"intent_parsed": "Understand the question"}) as report:
        report.result = agent.process_query(message, progress_callback=report)

Each stage is a step of the plan. It may be called from any thread, but not inside a running event loop, which it would
block.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from threading import Lock
from typing import Any, Literal

from broadcasters.blocking import BlockingWork, Broadcaster
from broadcasters.errors import PlanBusy, PlanCancelled, PlancastError
from broadcasters.events import MessageType, StepStatus
from plan_engine.adapters.conversion import (
    MAX_CONTENT,
    MAX_TITLE,
    as_text,
    cut,
    fields_of,
    plain,
    plain_object,
    shortened,
    text_of,
    title_of,
)

__all__ = ["Report", "progress_callback"]


@contextmanager
def progress_callback(
    plan_id: str,
    *,
    title: str | None = None,
    agent: str = "Agent",
    stages: Mapping[str, str] | None = None,
    broadcaster: Broadcaster | None = None,
) -> Generator[Report]:
    """A callback that reports a plan. The plan completes when the block is left, or ends with the error that leaves it.

    While the plan is paused, the callback waits. When a person has cancelled the plan, it raises `PlanCancelled`: let that
    pass. It ends the block, and the plan.

    Args:
        plan_id: the plan's id.
        title: the plan's title.
        agent: the name of the agent that sends the messages.
        stages: the titles of the stages to come, by stage and in order; with them, the plan also shows the current stage.
        broadcaster: sends the events; by default one for PLANCAST_LOG, opened for the block.

    Example:
        with progress_callback("plan-1") as report:
            report.result = process_query("sales in May", progress_callback=report)
    """
    with ExitStack() as stack:
        sender = broadcaster or stack.enter_context(Broadcaster())
        work = stack.enter_context(sender.working(plan_id, name=agent))
        sender.send_plan_update(plan_id, title=title and cut(title, MAX_TITLE), message_type=None)
        report = Report(sender, work, agent, stages or {})
        try:
            yield report
        except (PlanCancelled, PlanBusy):
            raise  # the end of the work reports the end of the plan, or another program works on it
        except BaseException as error:
            with suppress(PlancastError):
                report.failed(error)
            raise
        if report.result is not None or not report.cancelled:
            report.completed()


class Report:
    """The callback. `report(stage, data)` completes a stage; with a number in `data["progress"]`, it reports its progress
    instead.

    Attributes:
        result: if set, reported when the plan is completed.
    """

    def __init__(self, broadcaster: Broadcaster, work: BlockingWork, agent: str, stages: Mapping[str, str]) -> None:
        self.result: Any = None
        self._broadcaster = broadcaster
        self._work = work
        self._plan_id = work.plan_id
        self._agent = agent
        self._titles = dict(stages)
        self._reported: dict[str, StepStatus] = {}
        self._lock = Lock()  # two threads may report at once
        for stage in self._titles:
            self._step(stage, "pending")
        self._begin_next()

    @property
    def cancelled(self) -> bool:
        """Whether someone has cancelled the plan, for code that reports rarely: it can leave the block without a result."""
        return self._work.cancelled

    def __call__(self, stage: str, data: Any = None) -> None:
        self._work.checkpoint()
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
        self._broadcaster.send_plan_update(self._plan_id, status="completed", message_type=None, data=result)

    def failed(self, error: BaseException) -> None:
        """Called when an exception leaves the block."""
        status: Literal["error", "cancelled"] = "error" if isinstance(error, Exception) else "cancelled"
        content = as_text(error) if status == "error" else "Cancelled."
        self._close(status)
        self._broadcaster.send_plan_update(self._plan_id, content=content, status=status, message_type=None)

    def _begin_next(self) -> None:
        """Begin the first stage that was not reported: stages are expected in order."""
        if waiting := next((stage for stage, status in self._reported.items() if status == "pending"), None):
            self._step(waiting, "in_progress")

    def _close(self, status: StepStatus) -> None:
        """End the current stage with this status, and skip those that never began."""
        for stage, reported in [*self._reported.items()]:
            if reported == "in_progress":
                self._step(stage, status)
            elif reported == "pending":
                self._step(stage, "skipped")

    def _step(self, stage: str, status: StepStatus, content: str | None = None, **fields: Any) -> None:
        title = self._titles.get(stage) or title_of(stage)
        content = cut(content or "", MAX_CONTENT)
        self._broadcaster.send_step_update(
            self._plan_id, shortened(stage), status, content, title=cut(title, MAX_TITLE), **fields
        )
        self._reported[stage] = status

    def _message(self, stage: str, text: str, kind: MessageType) -> None:
        with self._broadcaster.message(
            self._plan_id, shortened(self._agent), kind, step_id=shortened(stage)
        ) as message:
            message.write(text.encode("utf-8", "replace").decode())
