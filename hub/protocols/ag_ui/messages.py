"""A plan as an AG-UI client keeps it: the messages of its conversation, and the shared state.

Ids are made from the plan and the offset of a part's first event, so they are the same in every run and every history.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import to_json

from broadcasters.changes import PlanFields
from broadcasters.position import Position
from broadcasters.snapshot import ArtifactState, InputState, MessageState, Snapshot, State, ToolCallState
from hub.protocols.threads import request_of

__all__ = [
    "ARTIFACT",
    "ClientHistory",
    "Message",
    "arguments_of",
    "artifact_content",
    "call_metadata",
    "id_of",
    "is_reasoning",
    "messages_of",
    "metadata_of",
    "plain",
    "request_id_of",
    "result_metadata",
    "state_of",
    "text_of",
    "unanswered",
]

Message = Mapping[str, Any]
Part = MessageState | ToolCallState | ArtifactState

ARTIFACT: Final = "plancast-artifact"
"""The type of the activities that artifacts are."""
MOST: Final = 9_000_000
"""Characters in a history: the client reads no longer frame than 10 MiB."""


def plain(part: State) -> dict[str, Any]:
    """A part of a plan as plain JSON, without what it does not have."""
    return part.model_dump(mode="json", exclude_none=True, by_alias=True)


def id_of(plan_id: str, part: Part) -> str:
    return f"{plan_id}:{part.offset}"


def request_id_of(plan_id: str) -> str:
    """The id of the message that a person started the plan with, for clients that have no such message of their own."""
    return f"{plan_id}:0"


# -- the conversation


def messages_of(plan: Snapshot) -> Iterator[Message]:
    """The messages, tool calls with their results, and artifacts, in the order of their first events."""
    parts: list[Part] = [*plan.messages, *plan.tool_calls, *plan.artifacts]
    for part in sorted(parts, key=lambda part: part.offset):
        match part:
            case MessageState():
                yield _text_message(plan.plan_id, part)
            case ToolCallState():
                yield from _call_messages(plan.plan_id, part)
            case ArtifactState():
                yield _activity(plan.plan_id, part)


def is_reasoning(message: MessageState) -> bool:
    return message.message_type == "thinking"


def metadata_of(message: MessageState) -> dict[str, Any]:
    """What AG-UI has no field for. The content is not used, which may be incomplete while text is added."""
    fields = {
        "agent_name": message.agent_name,
        "message_type": message.message_type,
        "step_id": message.step_id,
        "error": message.error,
        "data": message.data,
        "usage": None if message.usage is None else plain(message.usage),
    }
    return _metadata(fields)


def call_metadata(call: ToolCallState) -> dict[str, Any]:
    return _metadata({"agent_name": call.agent_name, "step_id": call.step_id})


def result_metadata(call: ToolCallState) -> dict[str, Any]:
    return _metadata({"phase": call.phase})


def artifact_content(artifact: ArtifactState) -> dict[str, Any]:
    return plain(artifact)


def text_of(value: Any, nothing: str = "") -> str:
    """A value as text: itself if it is that already, otherwise its JSON."""
    return value if isinstance(value, str) else nothing if value is None else to_json(value).decode()


def arguments_of(call: ToolCallState) -> str:
    return "{}" if call.arguments is None else to_json(call.arguments).decode()


def _metadata(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"plancast": {name: value for name, value in fields.items() if value is not None}}


def _text_message(plan_id: str, message: MessageState) -> Message:
    fields = {"id": id_of(plan_id, message), "content": message.content, "metadata": metadata_of(message)}
    if is_reasoning(message):
        return {"role": "reasoning", **fields}
    return {"role": "assistant", "name": message.agent_name, **fields}


def _call_messages(plan_id: str, call: ToolCallState) -> Iterator[Message]:
    call_id = id_of(plan_id, call)
    function = {"name": call.tool_name, "arguments": arguments_of(call)}
    calls = [{"id": call_id, "type": "function", "function": function, "metadata": call_metadata(call)}]
    yield {"id": call_id, "role": "assistant", "toolCalls": calls}
    if call.phase != "started":
        yield {
            "id": f"{call_id}-result",
            "role": "tool",
            "toolCallId": call_id,
            "content": text_of(call.result),
            "metadata": result_metadata(call),
        }


def _activity(plan_id: str, artifact: ArtifactState) -> Message:
    return {
        "id": id_of(plan_id, artifact),
        "role": "activity",
        "activityType": ARTIFACT,
        "content": artifact_content(artifact),
    }


# -- the state


def unanswered(plan: Snapshot) -> dict[str, InputState]:
    """The questions without an answer, also those of a plan that has ended."""
    return {question.request_id: question for question in plan.inputs if question.answered_at is None}


def state_of(plan: Snapshot, position: Position) -> dict[str, Any]:
    """The state that client and hub share. A client sends it with its next request, which tells what it has."""
    return {
        "plan_id": plan.plan_id,
        "epoch": position.epoch,
        "offset": position.offset,
        **PlanFields.of(plan).as_json(),
        "steps": [plain(step) for step in plan.steps],
        "questions": [plain(question) for question in unanswered(plan).values()],
    }


# -- what a client has


@dataclass(frozen=True, slots=True)
class ClientHistory:
    """What a client sent of its thread: the messages it has, and the position up to which it has the plan."""

    posted: Sequence[Message] = ()
    earlier: Sequence[Snapshot] = ()
    """The thread's plans before the one that is followed."""
    position: Position | None = None
    _plain: Mapping[str, Message] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_plain", {str(message.get("id")): message for message in self.posted})

    def has(self, plan: Snapshot, position: Position) -> bool:
        """Whether the client has exactly this of the plan."""
        if self.position != (position if plan.offset else None):
            return False
        ours = [message for message in messages_of(plan) if message["role"] != "activity"]
        its = [key for key in self._plain if _from(plan)(key) and key != request_id_of(plan.plan_id)]
        return all(map(self._has, ours)) and len(ours) == len(its)

    def with_plan(self, plan: Snapshot, before: Snapshot | None = None) -> Sequence[Message]:
        """The thread's messages: those of its plans as the log has them, all others as the client sent them. Each stands
        where the client has it; those that it has not follow. `before` is what the client had of the plan until now."""
        plans = [*self.earlier, plan]
        foreign = {key: message for key, message in self._plain.items() if not any(_from(one)(key) for one in plans)}
        requests = self._requests(plans, [key for key, message in foreign.items() if message.get("role") == "user"])
        every = (message for one in plans for message in (*requests.get(one.plan_id, ()), *messages_of(one)))
        ours = {message["id"]: message for message in every}
        known = [ours.get(key) or foreign.get(key) for key in self._plain]
        new = [message for key, message in ours.items() if key not in self._plain]
        return _without_reasoning(self._had(before), _fitting([*(message for message in known if message), *new]))

    def _requests(self, plans: Sequence[Snapshot], users: Sequence[str]) -> Mapping[str, Sequence[Message]]:
        """What a person wrote to start each of these plans, except where the client has that itself: `users` are the ids
        of the messages that its own user wrote."""
        known = [*self._plain]
        written = [known.index(key) for key in users]
        requests: dict[str, Sequence[Message]] = {}
        for plan in plans:
            its, request_id = [at for at, key in enumerate(known) if _from(plan)(key)], request_id_of(plan.plan_id)
            own = next(iter(written), None) if not its else None
            last = its[-1] if its else -1 if own is None else own
            written = [at for at in written if at > last]
            if own is None and (request_id in known or not its) and (text := request_of(plan)):
                requests[plan.plan_id] = [{"id": request_id, "role": "user", "content": text}]
        return requests

    def _had(self, before: Snapshot | None) -> Iterator[Message]:
        yield from self.posted
        yield from messages_of(before) if before is not None else ()

    def _has(self, message: Message) -> bool:
        mine = self._plain.get(message["id"], {})
        return all(_shown(mine.get(name)) == _shown(message.get(name)) for name in ("role", "content", "toolCalls"))


def _from(plan: Snapshot) -> Callable[[str], bool]:
    """A test whether an id is one of the plan's."""
    pattern = re.compile(re.escape(plan.plan_id) + r":[0-9]+(-result)?")
    return lambda message_id: bool(pattern.fullmatch(message_id))


def _shown(value: Any) -> Any:
    """The part of a field that a client shows: of tool calls, the functions."""
    if isinstance(value, list):
        calls: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [call.get("function") if isinstance(call, dict) else call for call in calls]  # pyright: ignore[reportUnknownMemberType]
    return value


def _without_reasoning(had: Iterable[Message], messages: Sequence[Message]) -> Sequence[Message]:
    """The messages, in a form that removes all other reasoning. A client keeps its reasoning when there is none among the
    messages, and would add to it when the same is sent again; such is emptied."""
    if any(message["role"] == "reasoning" for message in messages):
        return messages
    ids = {message["id"] for message in messages}
    old = {message.get("id"): None for message in had if message.get("role") == "reasoning"}
    return [*messages, *({"id": key, "role": "reasoning", "content": ""} for key in old if key not in ids)]


def _fitting(messages: Sequence[Message]) -> Sequence[Message]:
    """The newest messages that fit into a frame."""
    size, fitting = 0, list[Message]()
    for message in reversed(messages):
        size += len(to_json(message))
        if size > MOST:
            break
        fitting.append(message)
    return fitting[::-1]
