"""What a client of the AI SDK sends: the whole chat, and why. Unknown fields are left to the template, or ignored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from broadcasters.position import Position
from broadcasters.snapshot import InputState, Snapshot
from hub.api.problems import Problem
from hub.protocols.ai_sdk.chunks import message_id_of, plan_id_of, tool_part_id
from hub.wire.codes import ErrorCode

__all__ = [
    "ChatApproval",
    "ChatPart",
    "ChatPost",
    "GivenAnswer",
    "UiChatMessage",
    "answers_in",
    "plan_in_chat",
    "text_of",
]

_RESPONDED: Final = frozenset({"approval-responded", "output-available", "output-error", "output-denied"})


class ChatApproval(BaseModel):
    """A person's answer to an approval."""

    model_config = ConfigDict(extra="ignore")

    approved: bool | None = None
    reason: str | None = None


class ChatPart(BaseModel):
    """A part of a message. Those other than text and answers are ignored."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    type: str
    text: str | None = None
    tool_call_id: Annotated[str | None, Field(alias="toolCallId")] = None
    state: str | None = None
    approval: ChatApproval | None = None
    output: Any = None


class UiChatMessage(BaseModel):
    """A message of the chat."""

    model_config = ConfigDict(extra="ignore")

    id: str = ""
    role: Literal["system", "user", "assistant"]
    parts: list[ChatPart]
    metadata: Any = None

    @property
    def position(self) -> Position | None:
        """The position of the plan that the message shows, if its metadata has that."""
        try:
            known = _Metadata.model_validate(self.metadata).plancast
        except ValidationError:
            return None
        return Position(known.epoch, known.offset) if message_id_of(known.plan_id) == self.id else None


class ChatPost(BaseModel):
    """A chat with a further message, or with answers in the assistant's message. Other fields are input of the template."""

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "chat-1",
                    "trigger": "submit-message",
                    "messages": [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Raise the sales"}]}],
                }
            ]
        },
    )

    id: Annotated[str, Field(min_length=1, max_length=128)]
    messages: Annotated[list[UiChatMessage], Field(min_length=1)]
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    message_id: Annotated[str | None, Field(alias="messageId")] = None

    @property
    def answering(self) -> UiChatMessage | None:
        """The assistant's message to continue; None if the person's last message must be answered."""
        if self.trigger == "regenerate-message":
            return None
        named = next((one for one in self.messages if one.id == self.message_id), None)
        message = named or self.messages[-1]
        return message if message.role == "assistant" else None

    def shows(self, plan_id: str) -> bool:
        """Whether the client has begun to show this plan."""
        return any(message.id == message_id_of(plan_id) for message in self.messages)


class _PlanPosition(BaseModel):
    plan_id: str
    epoch: str
    offset: Annotated[int, Field(ge=0)]


class _Metadata(BaseModel):
    plancast: _PlanPosition


def text_of(post: ChatPost) -> str:
    """The text of the person's last message. Raises `Problem`."""
    message = next((one for one in reversed(post.messages) if one.role == "user"), None)
    parts = message.parts if message is not None else []
    if any(part.type == "file" for part in parts):
        raise Problem(ErrorCode.INVALID_FIELD, "files can't be sent to a plan; send text only", field="messages")
    text = "\n".join(part.text for part in parts if part.type == "text" and part.text)
    if not text.strip():
        raise Problem(ErrorCode.INVALID_FIELD, "the message has no text", field="messages")
    return text


# -- answers


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An answer to an open question of a plan."""

    request_id: str
    answer: Any


def plan_in_chat(chat_id: str, message: UiChatMessage) -> int:
    """The number of the plan that the message shows, in its chat. Raises `Problem`."""
    plan_id = plan_id_of(message.id)
    if plan_id == chat_id:
        return 1
    number = plan_id.removeprefix(f"{chat_id}.") if plan_id is not None else ""
    if plan_id == f"{chat_id}.{number}" and number.isascii() and number.isdecimal() and len(number) < 10:
        return int(number)
    detail = f"the message {message.id!r:.80} shows no plan of this chat, so it can't be continued"
    raise Problem(ErrorCode.INVALID_FIELD, detail, field="messages")


def answers_in(message: UiChatMessage, plan: Snapshot) -> Iterator[GivenAnswer]:
    """The answers to questions that are open. Raises `Problem` for a part that would make the client send again."""
    questions = {tool_part_id(plan.plan_id, question): question for question in plan.inputs}
    for part in message.parts:
        if part.state not in _RESPONDED or part.tool_call_id is None:
            continue
        question = questions.get(part.tool_call_id)
        if question is not None and question.answered_at is None:
            yield GivenAnswer(question.request_id, _answer_in(part, question))
        elif question is None and part.state == "approval-responded":
            detail = f"the plan has no question {part.tool_call_id!r:.80} any more; reload the chat"
            raise Problem(ErrorCode.NO_SUCH_REQUEST, detail)


def _answer_in(part: ChatPart, question: InputState) -> Any:
    if part.state == "approval-responded" and part.approval is not None and part.approval.approved is not None:
        reason = {"reason": part.approval.reason} if part.approval.reason else {}
        return {"approved": part.approval.approved, **reason}
    if part.state == "output-available":
        return part.output
    detail = f"the answer to {question.prompt!r:.80} is missing; reload the chat and answer again"
    raise Problem(ErrorCode.INVALID_ANSWER, detail)
