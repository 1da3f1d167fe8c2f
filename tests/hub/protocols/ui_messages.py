"""A model of the AI SDK's client: what `processUIMessageStream` of ai 6 and 7 makes of chunks.

The vectors in tests/vectors/protocols/ai_sdk hold what it makes of some logs; the frontend's tests compare that with the
real client's result.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

from broadcasters.snapshot import InputState, MessageState, Snapshot, ToolCallState
from hub.protocols.ai_sdk.chunks import ASK

__all__ = ["UiMessage", "chunks_in", "shown"]

Part = dict[str, Any]


def chunks_in(received: bytes) -> list[dict[str, Any]]:
    """The chunks of a response, without the end mark."""
    if not received:
        return []
    assert received.endswith(b"\n\n")
    lines = received.decode().removesuffix("\n\n").split("\n\n")
    assert all(line.startswith("data: ") for line in lines)
    texts = [line.removeprefix("data: ") for line in lines]
    assert "[DONE]" not in texts[:-1]
    return [json.loads(text) for text in texts if text != "[DONE]"]


class UiMessage:
    """An assistant's message. `error` is the text of an error chunk, after which the real client stops."""

    def __init__(self) -> None:
        self.id: str | None = None
        self.parts: list[Part] = []
        self.metadata: dict[str, Any] = {}
        self.finish_reason: str | None = None
        self.error: str | None = None
        self._active: dict[tuple[str, str], Part] = {}

    def continued(self) -> UiMessage:
        """The message at the beginning of another response: its unfinished text takes no more."""
        other = copy.deepcopy(self)
        other._active.clear()
        other.finish_reason = None
        return other

    def apply(self, chunks: Sequence[Mapping[str, Any]]) -> UiMessage:
        for chunk in chunks:
            assert self.error is None, "nothing may follow an error"
            self._apply(chunk)
        return self

    def _apply(self, chunk: Mapping[str, Any]) -> None:
        kind, _, phase = chunk["type"].partition("-")
        match kind, phase:
            case (("text" | "reasoning"), _):
                self._text(kind, phase, chunk)
            case "tool", _:
                self._tool(phase, chunk)
            case "data", _:
                self._data(chunk)
            case "start", "":
                assert self.id in (None, chunk["messageId"])
                self.id = chunk["messageId"]
                self.metadata |= chunk["messageMetadata"]
            case "start", "step":
                self.parts.append({"type": "step-start"})
            case "finish", "":
                self.finish_reason = chunk["finishReason"]
                self.metadata |= chunk["messageMetadata"]
            case "error", "":
                self.error = chunk["errorText"]
            case "abort", "":
                pass
            case other:
                raise AssertionError(f"unknown chunk: {other}")

    def _text(self, kind: str, phase: str, chunk: Mapping[str, Any]) -> None:
        key = kind, chunk["id"]
        if phase == "start":
            part: Part = {"type": kind, "text": "", "state": "streaming"}
            self._active[key] = part
            self.parts.append(part)
        part = self._active[key]
        if "providerMetadata" in chunk:
            part["providerMetadata"] = chunk["providerMetadata"]
        if phase == "delta":
            part["text"] += chunk["delta"]
        if phase == "end":
            part["state"] = "done"
            del self._active[key]

    def _tool(self, phase: str, chunk: Mapping[str, Any]) -> None:
        tool_id = chunk["toolCallId"]
        if phase == "input-available":
            called = self._in_step(tool_id) or self._added({"type": "dynamic-tool", "toolCallId": tool_id})
            for name in ("output", "errorText"):
                called.pop(name, None)
            called.update(state="input-available", toolName=chunk["toolName"], input=chunk["input"])
            self._executed(called, chunk)
            return
        part = self._in_step(tool_id) or self.tool(tool_id)
        assert part, f"no tool {tool_id}"
        match phase:
            case "approval-request":
                part.update(state="approval-requested", approval={"id": chunk["approvalId"]})
            case "output-available":
                part.pop("errorText", None)
                part.update(state="output-available", output=chunk["output"])
                self._executed(part, chunk)
            case "output-error":
                part.pop("output", None)
                part.update(state="output-error", errorText=chunk["errorText"])
                self._executed(part, chunk)
            case "output-denied":
                part.update(state="output-denied")
            case other:
                raise AssertionError(f"unknown chunk: {other}")

    @staticmethod
    def _executed(part: Part, chunk: Mapping[str, Any]) -> None:
        if "providerExecuted" in chunk:  # and it stays
            part["providerExecuted"] = chunk["providerExecuted"]

    def _data(self, chunk: Mapping[str, Any]) -> None:
        known = (part for part in self.parts if part["type"] == chunk["type"] and part["id"] == chunk["id"])
        part = next(known, None) or self._added({"type": chunk["type"], "id": chunk["id"]})
        part["data"] = chunk["data"]

    def _added(self, part: Part) -> Part:
        self.parts.append(part)
        return part

    def tool(self, tool_id: str) -> Part | None:
        """The last part of this tool."""
        return next((part for part in reversed(self.parts) if part.get("toolCallId") == tool_id), None)

    def _in_step(self, tool_id: str) -> Part | None:
        begins = max((at for at, part in enumerate(self.parts, 1) if part["type"] == "step-start"), default=0)
        return next((part for part in self.parts[begins:] if part.get("toolCallId") == tool_id), None)

    def with_answers(self) -> UiMessage:
        """The message after its person has answered all open questions."""
        other = self.continued()
        for part in other.parts:
            if part["type"] == "dynamic-tool" and part["state"] == "approval-requested":
                part["state"] = "approval-responded"
            elif part["type"] == "dynamic-tool" and part["state"] == "input-available" and part["toolName"] == ASK:
                part["state"] = "output-available"
        return other

    @property
    def sends_again(self) -> bool:
        """Whether the client sends the message by itself, if it is to when approvals or tool calls are complete."""
        begins = max((at for at, part in enumerate(self.parts, 1) if part["type"] == "step-start"), default=0)
        tools = [part for part in self.parts[begins:] if part["type"] == "dynamic-tool"]
        over = ("output-available", "output-error", "output-denied", "approval-responded")
        approved = any(part["state"] == "approval-responded" for part in tools)
        executed = [part for part in tools if not part.get("providerExecuted")]
        return (approved and all(part["state"] in over for part in tools)) or (
            bool(executed) and all(part["state"] in over[:2] for part in executed)
        )

    # -- what it shows

    @property
    def texts(self) -> dict[str, tuple[str, str]]:
        """The kind and the text of each message, by its id."""
        found: dict[str, tuple[str, str]] = {}
        for part in self.parts:
            if part["type"] in ("text", "reasoning"):
                about = part["providerMetadata"]["plancast"]
                before = "" if about.get("replaces") else found.get(about["message_id"], ("", ""))[1]
                found[about["message_id"]] = part["type"], before + part["text"]
        return found

    def data(self, kind: str) -> dict[str, Any]:
        return {part["id"]: part["data"] for part in self.parts if part["type"] == f"data-{kind}"}


def shown(message: UiMessage, plan: Snapshot) -> tuple[Any, Any]:
    """What a client shows of the parts that the plan has, and what it should."""
    tools: list[ToolCallState | InputState] = [*plan.tool_calls, *plan.inputs]
    parts = {part.offset: message.tool(f"{plan.plan_id}:{part.offset}") or {} for part in tools}
    texts = message.texts
    return (
        (
            {one.message_id: texts.get(one.message_id) for one in plan.messages},
            {at: (part.get("state"), part.get("output")) for at, part in parts.items()},
            {key: step["status"] for key, step in message.data("step").items()},
            {key: (one["name"], one.get("data")) for key, one in message.data("artifact").items()},
            [one["status"] for one in message.data("plan").values()],
        ),
        (
            {one.message_id: _text_of(one) for one in plan.messages},
            {part.offset: _tool_state(part, plan.ended_at is not None) for part in tools},
            {step.step_id: step.status for step in plan.steps},
            {one.artifact_id: (one.name, one.data) for one in plan.artifacts},
            [plan.status] if message.data("plan") else [],
        ),
    )


def _text_of(message: MessageState) -> tuple[str, str]:
    return "reasoning" if message.message_type == "thinking" else "text", message.content


def _tool_state(part: ToolCallState | InputState, ended: bool) -> tuple[str, Any]:
    if isinstance(part, ToolCallState):
        if part.phase == "started":
            return ("output-error" if ended else "input-available"), None
        return ("output-error", None) if part.phase == "error" else ("output-available", part.result)
    if part.answered_at is None:
        waiting = "approval-requested" if part.kind == "approval" else "input-available"
        return ("output-error" if ended else waiting), None
    if part.kind == "approval" and (part.answer is False or part.answer in ({"approved": False}, "no")):
        return "output-denied", None
    return "output-available", part.answer
