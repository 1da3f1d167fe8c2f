"""What can be said about a plan, as verbs: written here once, for whoever can `send` an event.

Each verb returns the event's position once the event is durable in the log. A bad value raises `InvalidEvent`, naming
the field, before anything is sent. `key` makes an event unique for ever: said again under the same key, by whomever,
it is not stored again, and the first position is returned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from broadcasters.events import (
    AgentMessage,
    Artifact,
    InputKind,
    InputRequest,
    InputResponse,
    MessageType,
    PlanEvent,
    PlanStatus,
    PlanUpdate,
    StepStatus,
    StepUpdate,
    ToolCall,
    ToolPhase,
    build,
)
from broadcasters.position import Position

__all__ = ["Verbs"]

T = TypeVar("T")


def _listed(values: Sequence[T] | None) -> Sequence[T] | None:
    """A tuple will do where an event wants a list."""
    return list(values) if isinstance(values, tuple) else values


class Verbs(ABC):
    """Everything that can be said, by whoever can `send`."""

    @abstractmethod
    async def send(self, event: PlanEvent, *, key: str | None = None) -> Position:
        """Send an event that was built already; its position, once it is durable."""

    @abstractmethod
    async def send_all(
        self, plan_id: str, events: Iterable[PlanEvent], *, key: str | None = None, whole: bool = False
    ) -> Sequence[Position]:
        """Send events of one plan, in this order; their positions, once all of them are durable.

        All are checked before the first is sent. With a key, the i-th event gets the key `"{key}.{i}"`, so that the
        whole call may be repeated. Up to 256 events of 1 MiB together stand side by side in the log, or are not there
        at all; with `whole`, more than that is an `InvalidEvent` instead of several such runs."""

    async def send_plan_update(
        self,
        plan_id: str,
        step_id: str | None = None,
        agent_name: str | None = None,
        content: str | None = None,
        status: PlanStatus = "in_progress",
        message_type: MessageType | None = "action",
        *,
        title: str | None = None,
        progress: float | None = None,
        data: Mapping[str, Any] | None = None,
        owner: str | None = None,
        labels: Sequence[str] | None = None,
        timestamp: datetime | str | None = None,
        key: str | None = None,
    ) -> Position:
        """How the plan goes. Without a step_id, the status completed, error or cancelled ends it."""
        fields = {
            "plan_id": plan_id,
            "step_id": step_id or None,
            "agent_name": agent_name or None,
            "content": content,
            "status": status,
            "message_type": message_type,
            "title": title,
            "progress": progress,
            "data": data,
            "owner": owner,
            "labels": _listed(labels),
            "timestamp": timestamp,
        }
        return await self.send(build(PlanUpdate, fields), key=key)

    async def send_agent_message(
        self,
        plan_id: str,
        agent_name: str,
        content: str,
        message_type: MessageType = "thinking",
        *,
        step_id: str | None = None,
        message_id: str | None = None,
        append: bool | None = None,
        final: bool | None = None,
        data: Mapping[str, Any] | None = None,
        timestamp: datetime | str | None = None,
        key: str | None = None,
    ) -> Position:
        """What an agent says, in one piece. (In many pieces: `message`.)"""
        fields = {
            "plan_id": plan_id,
            "agent_name": agent_name,
            "content": content,
            "message_type": message_type,
            "step_id": step_id,
            "message_id": message_id,
            "append": append,
            "final": final,
            "data": data,
            "timestamp": timestamp,
        }
        return await self.send(build(AgentMessage, fields), key=key)

    async def send_step_update(
        self,
        plan_id: str,
        step_id: str,
        status: StepStatus,
        content: str = "",
        *,
        title: str | None = None,
        progress: float | None = None,
        attempt: int | None = None,
        max_attempts: int | None = None,
        needs: Sequence[str] | None = None,
        agent_name: str | None = None,
        data: Mapping[str, Any] | None = None,
        timestamp: datetime | str | None = None,
        key: str | None = None,
    ) -> Position:
        """How one step goes. `needs` names the steps it waits for."""
        fields = {
            "plan_id": plan_id,
            "step_id": step_id,
            "status": status,
            "content": content,
            "title": title,
            "progress": progress,
            "attempt": attempt,
            "max_attempts": max_attempts,
            "needs": _listed(needs),
            "agent_name": agent_name,
            "data": data,
            "timestamp": timestamp,
        }
        return await self.send(build(StepUpdate, fields), key=key)

    async def send_tool_call(
        self,
        plan_id: str,
        agent_name: str,
        call_id: str,
        tool_name: str,
        phase: ToolPhase = "started",
        *,
        arguments: Any = None,
        result: Any = None,
        step_id: str | None = None,
        timestamp: datetime | str | None = None,
        key: str | None = None,
    ) -> Position:
        """An agent uses a tool: said when it starts, and again, with the same call_id, when it is done."""
        fields = {
            "plan_id": plan_id,
            "agent_name": agent_name,
            "call_id": call_id,
            "tool_name": tool_name,
            "phase": phase,
            "arguments": arguments,
            "result": result,
            "step_id": step_id,
            "timestamp": timestamp,
        }
        return await self.send(build(ToolCall, fields), key=key)

    async def send_artifact(
        self,
        plan_id: str,
        artifact_id: str,
        name: str,
        mime_type: str,
        *,
        url: str | None = None,
        data: Any = None,
        step_id: str | None = None,
        timestamp: datetime | str | None = None,
        key: str | None = None,
    ) -> Position:
        """Something was made: where it is, or, if it is small, the thing itself."""
        fields = {
            "plan_id": plan_id,
            "artifact_id": artifact_id,
            "name": name,
            "mime_type": mime_type,
            "url": url,
            "data": data,
            "step_id": step_id,
            "timestamp": timestamp,
        }
        return await self.send(build(Artifact, fields), key=key)

    async def send_input_request(
        self,
        plan_id: str,
        request_id: str,
        kind: InputKind,
        prompt: str,
        *,
        options: Sequence[Any] | None = None,
        schema: Mapping[str, Any] | None = None,
        step_id: str | None = None,
        agent_name: str | None = None,
        expires_at: datetime | str | None = None,
        timestamp: datetime | str | None = None,
        key: str | None = None,
    ) -> Position:
        """The plan asks a person."""
        fields = {
            "plan_id": plan_id,
            "request_id": request_id,
            "kind": kind,
            "prompt": prompt,
            "options": _listed(options),
            "schema": schema,
            "step_id": step_id,
            "agent_name": agent_name,
            "expires_at": expires_at,
            "timestamp": timestamp,
        }
        return await self.send(build(InputRequest, fields), key=key)

    async def send_input_response(
        self,
        plan_id: str,
        request_id: str,
        answer: Any,
        *,
        by: str | None = None,
        at: datetime | str | None = None,
        timestamp: datetime | str | None = None,
        key: str | None = None,
    ) -> Position:
        """What a person answered."""
        fields = {
            "plan_id": plan_id,
            "request_id": request_id,
            "answer": answer,
            "by": by,
            "at": at,
            "timestamp": timestamp,
        }
        return await self.send(build(InputResponse, fields), key=key)
