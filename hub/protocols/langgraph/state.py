"""A plan as the values of a LangGraph thread: messages, the plan itself, and questions as interrupts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from broadcasters.snapshot import InputState, MessageState, Snapshot, ToolCallState, UsageSum
from hub.protocols.segments import open_questions, waits
from hub.protocols.threads import request_of

__all__ = [
    "encoded",
    "interrupts_of",
    "messages_of",
    "resumption",
    "text_message",
    "tool_messages",
    "usage_fields",
    "values_of",
]

_MESSAGES_ASIDE: Final = {"version", "messages", "tool_calls", "weight"}


def encoded(value: Any) -> bytes:
    """The value as JSON on one line."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def values_of(plan: Snapshot, earlier: bytes = b"") -> bytes:
    """The values of a thread, encoded: the messages of its earlier plans, already encoded, those of this plan, and the
    plan without them."""
    messages = encoded(messages_of(plan))[1:-1]
    joint = b"," if earlier and messages else b""
    about = plan.__pydantic_serializer__.to_json(plan, exclude=_MESSAGES_ASIDE, exclude_none=True, by_alias=True)
    return b'{"messages":[%b%b%b],"plan":%b}' % (earlier, joint, messages, about)


# -- messages


def messages_of(plan: Snapshot) -> list[dict[str, Any]]:
    """What a person wrote to start the plan, and what its agents wrote and which tools they called, in order."""
    text = request_of(plan)
    request = [{"type": "human", "id": f"{plan.plan_id}:0", "content": text}] if text else []
    parts: list[MessageState | ToolCallState] = [*plan.messages, *plan.tool_calls]
    ordered = sorted(parts, key=lambda part: part.offset)
    return [*request, *(message for part in ordered for message in _of(plan.plan_id, part))]


def text_message(plan_id: str, message: MessageState) -> dict[str, Any]:
    """An agent's message. Its id comes from its position: the log may have lost the event that named it."""
    about = {"message_type": message.message_type, "step_id": message.step_id, "error": message.error}
    return {
        "type": "ai",
        "id": f"{plan_id}:{message.offset}",
        "name": message.agent_name,
        "content": message.content,
        "tool_calls": [],
        "additional_kwargs": {name: value for name, value in about.items() if value is not None},
        **usage_fields(message.usage),
    }


def usage_fields(usage: UsageSum | None, before: UsageSum | None = None) -> dict[str, Any]:
    """The usage in LangChain's form, without that of `before`: clients add up the usage of a message's chunks."""
    if usage is None or usage == before:
        return {}

    def added(name: str) -> int:
        return (getattr(usage, name) or 0) - (getattr(before, name, None) or 0)

    counts = {name: added(name) for name in ("input_tokens", "output_tokens")}
    details = {
        "input_token_details": {"cache_read": added("cached_tokens")},
        "output_token_details": {"reasoning": added("reasoning_tokens")},
    }
    about = {} if usage.model is None else {"response_metadata": {"model_name": usage.model}}
    return {"usage_metadata": {**counts, "total_tokens": sum(counts.values()), **details}, **about}


def tool_messages(plan_id: str, call: ToolCallState) -> Iterator[dict[str, Any]]:
    """The call of a tool, and its result when there is one. The call's own id is unique in its plan only."""
    call_id = f"{plan_id}:{call.offset}"
    yield {
        "type": "ai",
        "id": call_id,
        "name": call.agent_name,
        "content": "",
        "tool_calls": [
            {"type": "tool_call", "id": call_id, "name": call.tool_name, "args": _arguments(call.arguments)}
        ],
        "additional_kwargs": {"call_id": call.call_id},
    }
    if call.phase != "started":
        yield {
            "type": "tool",
            "id": f"{call_id}-result",
            "name": call.tool_name,
            "tool_call_id": call_id,
            "content": call.result if isinstance(call.result, str) else encoded(call.result).decode(),
            "status": "error" if call.phase == "error" else "success",
        }


def _arguments(given: Any) -> Any:
    return given if isinstance(given, dict) else {"value": given}  # pyright: ignore[reportUnknownVariableType]


def _of(plan_id: str, part: MessageState | ToolCallState) -> Iterator[dict[str, Any]]:
    if isinstance(part, ToolCallState):
        yield from tool_messages(plan_id, part)
    else:
        yield text_message(plan_id, part)


# -- questions


def interrupts_of(plan: Snapshot) -> Sequence[dict[str, Any]]:
    """The open questions of a plan that waits for them."""
    return [{"id": question.request_id, "value": _value(question)} for question in open_questions(plan)] * waits(plan)


def resumption(question: InputState, value: Any) -> Any:
    """The answer in a resume value: the value itself, or what it decides in the form of LangChain's human in the loop."""
    match value if question.kind == "approval" else None:
        case [{"type": "approve" | "accept"}] | {"decisions": [{"type": "approve" | "accept"}]}:
            return _choices(question)[0]
        case [{"type": "reject" | "ignore"}] | {"decisions": [{"type": "reject" | "ignore"}]}:
            return _choices(question)[-1]
        case _:
            return value


def _value(question: InputState) -> dict[str, Any]:
    """The question; for an approval also in the form of LangChain's human in the loop, which its clients show."""
    value = question.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude={"offset", "answer", "by", "answered_at"}
    )
    if question.kind == "approval":
        name = question.step_id or question.request_id
        value["action_requests"] = [{"name": name, "args": {}, "description": question.prompt}]
        value["review_configs"] = [{"action_name": name, "allowed_decisions": ["approve", "reject"]}]
    return value


def _choices(question: InputState) -> Sequence[Any]:
    return [_choice(option) for option in question.options or (True, False)]


def _choice(option: Any) -> Any:
    match option:
        case {"value": value}:
            return value
        case _:
            return option
