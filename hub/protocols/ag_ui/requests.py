"""The requests of AG-UI clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from broadcasters.position import Position
from hub.protocols.ag_ui.messages import ClientHistory, Message, request_id_of
from hub.protocols.threads import ThreadPlan

__all__ = ["InterruptAnswer", "PostedMessage", "RunInput", "RuntimeRequest"]

Id = Annotated[str, Field(min_length=1, max_length=256)]


class PostedMessage(BaseModel):
    """A message that a client has."""

    model_config = ConfigDict(extra="allow")

    id: str
    role: str
    content: JsonValue = None

    @property
    def text(self) -> str:
        """The text of a user's message, without its pictures and files."""
        if isinstance(self.content, str):
            return self.content
        parts = self.content if isinstance(self.content, list) else ()
        texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
        return "\n".join(text for text in texts if isinstance(text, str))


class InterruptAnswer(BaseModel):
    """The answer to an interrupt."""

    interruptId: Id  # noqa: N815
    status: Literal["resolved", "cancelled"]
    payload: JsonValue = None


class RunInput(BaseModel):
    """The input of a run. The client's tools and context are not used."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "threadId": "plan-1",
                    "runId": "run-1",
                    "messages": [{"id": "1", "role": "user", "content": "Sales by region are uneven"}],
                    "state": {},
                }
            ]
        }
    )

    threadId: Annotated[str, Field(min_length=1, max_length=128)]  # noqa: N815
    runId: Id  # noqa: N815
    messages: list[PostedMessage] = Field(default_factory=list[PostedMessage])
    state: JsonValue = None
    resume: list[InterruptAnswer] | None = None
    forwardedProps: JsonValue = None  # noqa: N815

    @property
    def text(self) -> str | None:
        """What the user wrote last, if nothing follows it."""
        last = self.messages[-1] if self.messages else None
        return last.text.strip() or None if last is not None and last.role == "user" else None

    @property
    def fields(self) -> Mapping[str, Any]:
        """Further fields of the template's input."""
        return self.forwardedProps if isinstance(self.forwardedProps, dict) else {}

    @property
    def posted(self) -> Sequence[Message]:
        return [message.model_dump(mode="json", exclude_unset=True) for message in self.messages]

    def position_in(self, plan: ThreadPlan) -> Position | None:
        """The position up to which the client has the plan, according to its state."""
        match self.state:
            case {"plan_id": plan.plan.plan_id, "epoch": str(epoch), "offset": int(offset)}:
                known = epoch == plan.position.epoch and 0 <= offset <= plan.position.offset
                return Position(epoch, offset) if known else None
            case _:
                return None

    def follows(self, plan: ThreadPlan, plans: int) -> bool:
        """Whether the user's last message was written after the end of the thread's last plan. If a request is repeated
        because its response was lost, that plan is its own."""
        if not plan.ended or self.text is None or self.messages[-1].id == request_id_of(plan.plan.plan_id):
            return False
        users = sum(message.role == "user" for message in self.messages)
        seen = any(message.id.startswith(f"{plan.plan.plan_id}:") for message in self.messages)
        match self.state:
            case {"plan_id": plan.plan.plan_id, "status": "completed" | "error" | "cancelled"}:
                return True
            case _:
                return seen or users > plans

    def history(self, plans: Sequence[ThreadPlan], position: Position | None) -> ClientHistory:
        """What the client has of a thread with these plans; the last of them is followed."""
        return ClientHistory(self.posted, [one.plan for one in plans[:-1]], position)


class RuntimeRequest(BaseModel):
    """A request of CopilotKit's client that has only one URL."""

    method: Literal["info", "agent/run", "agent/connect", "agent/stop"]
    params: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    body: JsonValue = None
