"""The `send_…` verbs, written once for every class that can `send` an event."""

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
from broadcasters.usage import UsageFields

__all__ = ["Verbs"]

T = TypeVar("T")


def _listed(values: Sequence[T] | None) -> Sequence[T] | None:
    """Tuples are accepted where an event has a list."""
    return list(values) if isinstance(values, tuple) else values


class Verbs(ABC):
    """Sends each type of event.

    Each verb returns the event's position once the event is durable in the log. In all of them, `timestamp` is the time
    of the event (now, by default), and `key` makes the event unique: if an event with this key is in the plan, no
    other is stored, and the position of the first is returned. All of them raise the errors of `send`.
    """

    @abstractmethod
    async def send(self, event: PlanEvent, *, key: str | None = None) -> Position:
        """Send an event of `broadcasters.events`.

        Args:
            event: The event, as `build` returns it.
            key: Makes the event unique in its plan, also if it is sent again, by any program.

        Returns:
            The event's position, once it is durable.

        Raises:
            InvalidEvent: A field is wrong; nothing was sent. (The verbs raise it for their arguments.)
            LogUnavailable: The log did not answer within the deadline. The text says whether the event may be stored.
            LogFull: The log has no room; nothing was stored.
            LogMisconfigured: The log refused; only its operator can change that.
            BroadcasterClosed: The broadcaster is closed.
        """

    @abstractmethod
    async def send_all(
        self, plan_id: str, events: Iterable[PlanEvent], *, key: str | None = None, whole: bool = False
    ) -> Sequence[Position]:
        """Send events of one plan in this order. All are checked before the first is sent.

        Up to 256 events of 1 MiB together are stored next to each other, or not at all.

        Args:
            plan_id: The plan of all of them.
            events: Events of `broadcasters.events`.
            key: The i-th event gets the key `"{key}.{i}"`, so that the whole call can be repeated.
            whole: Raise `InvalidEvent` for more than 256 events or 1 MiB, instead of storing several such runs.

        Returns:
            Their positions, once all of them are durable.

        Raises:
            InvalidEvent: An event is wrong, or belongs to another plan; nothing was sent.
            LogError: As with `send`; some of the events may be stored.
        """

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
        """Report how the plan, or one of its steps, is going.

        Args:
            plan_id: 1 to 128 of A-Z a-z 0-9 . _ : @ ~ -
            step_id: The step it is about. Without one, the status `completed`, `error` or `cancelled` ends the plan.
            agent_name: With `content`, the update is shown as a message of this agent as well.
            content: Text for people.
            status: `pending`, `in_progress`, `waiting`, `completed`, `error` or `cancelled`.
            message_type: How the content is shown.
            title: The plan's title, until it is changed.
            progress: 0 to 100.
            data: JSON for front ends; in the update that ends the plan, its result.
            owner: The user to whom the plan belongs.
            labels: Up to 16, by which plans are listed.

        Example:
            await send_plan_update("plan-1", title="Quarterly report", owner="maria", progress=10)
        """
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
        usage: UsageFields | None = None,
        timestamp: datetime | str | None = None,
        key: str | None = None,
    ) -> Position:
        """Send a message of an agent in one event. (`message` sends one piece by piece.)

        Args:
            plan_id: The plan.
            agent_name: The agent whose message it is.
            content: Its text.
            message_type: `thinking`, `action`, `result` or `clarification_needed`.
            step_id: The step it belongs to, if any.
            message_id: An id unique in the plan; a message with the id of another replaces it.
            append: Add the content to the message of that id instead.
            final: The message is complete.
            data: JSON for front ends.
            usage: What was used of a model for it, and no other event reports: a `Usage`, or its fields.
        """
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
            "usage": usage,
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
        usage: UsageFields | None = None,
        timestamp: datetime | str | None = None,
        key: str | None = None,
    ) -> Position:
        """Report how one step is going.

        Args:
            plan_id: The plan.
            step_id: The step; the first update of an id adds it to the plan.
            status: As of a plan, or `retrying`, `skipped` or `stalled`.
            content: Text for people.
            title: The step's title, until it is changed.
            progress: 0 to 100.
            attempt: The number of the attempt, from 1 on; a higher one begins a new attempt.
            max_attempts: How many attempts there may be.
            needs: The ids of the steps that must be completed before it.
            agent_name: The agent that works on it; with `usage`, the agent that used it. A step that has one keeps it then.
            data: JSON for front ends.
            usage: What was used of a model for the step, and no other event reports: a `Usage`, or its fields.
        """
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
            "usage": usage,
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
        usage: UsageFields | None = None,
        timestamp: datetime | str | None = None,
        key: str | None = None,
    ) -> Position:
        """Report that an agent uses a tool: once when the call starts, and again, with the same id, when it has ended.

        Args:
            plan_id: The plan.
            agent_name: The agent that calls it.
            call_id: An id of the call, unique in the plan.
            tool_name: The tool.
            phase: `started`, `completed` or `error`.
            arguments: What the tool was called with, as JSON.
            result: What it returned, as JSON.
            step_id: The step it belongs to, if any.
            usage: What was used of a model for the call, and no other event reports: a `Usage`, or its fields.
        """
        fields = {
            "plan_id": plan_id,
            "agent_name": agent_name,
            "call_id": call_id,
            "tool_name": tool_name,
            "phase": phase,
            "arguments": arguments,
            "result": result,
            "step_id": step_id,
            "usage": usage,
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
        """Publish something that was made: by its address, or itself if it is small.

        Args:
            plan_id: The plan.
            artifact_id: An id unique in the plan; an artifact with the id of another replaces it.
            name: Its name for people.
            mime_type: Its type, such as `application/pdf`.
            url: Where it can be fetched.
            data: The artifact itself, as JSON; an event has at most 256 KiB.
            step_id: The step that made it, if any.
        """
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
        """Ask a person. Front ends show the request until it is answered.

        Args:
            plan_id: The plan.
            request_id: An id unique in the plan; a request with the id of one not yet answered replaces it.
            kind: `approval`, `clarification` or `choice`.
            prompt: The question.
            options: The answers to choose from, as JSON.
            schema: A JSON Schema of the answer.
            step_id: The step that needs the answer, if any.
            agent_name: The agent that asks.
            expires_at: When an answer is no longer accepted.
        """
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
        """Record a person's answer. The first answer to a request counts.

        Args:
            plan_id: The plan.
            request_id: The request that is answered.
            answer: Any JSON, null too.
            by: Who answered.
            at: When; now by default.
        """
        fields = {
            "plan_id": plan_id,
            "request_id": request_id,
            "answer": answer,
            "by": by,
            "at": at,
            "timestamp": timestamp,
        }
        return await self.send(build(InputResponse, fields), key=key)
