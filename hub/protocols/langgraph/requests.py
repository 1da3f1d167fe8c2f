"""What LangGraph's clients send: the beginning of a run, and searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from broadcasters.events import PLAN_ID

__all__ = [
    "CreateThread",
    "HistoryRequest",
    "ResumeCommand",
    "RunConfig",
    "RunRequest",
    "SearchAssistants",
    "SearchThreads",
    "StateCheckpoint",
    "StateRequest",
    "UpdateThread",
    "text_in",
]

Mode = Annotated[str, Field(min_length=1, max_length=64)]
Limit = Annotated[int, Field(ge=1, le=1000)]


class CreateThread(BaseModel):
    """The id of the new thread; without one, one is made."""

    thread_id: Annotated[str, Field(pattern=PLAN_ID)] | None = None
    if_exists: Literal["raise", "do_nothing"] | None = None
    metadata: dict[str, JsonValue] | None = None


class UpdateThread(BaseModel):
    """What a thread should have."""

    metadata: dict[str, JsonValue] | None = None
    ttl: JsonValue = None


class StateCheckpoint(BaseModel):
    """A checkpoint of the history."""

    checkpoint_id: Annotated[str, Field(max_length=256)] | None = None


class StateRequest(BaseModel):
    """Which state to read."""

    checkpoint: StateCheckpoint


class ResumeCommand(BaseModel):
    """Answers: {interrupt_id: value}, or a value for the only open question. `goto` can only be the end."""

    resume: JsonValue = None
    goto: JsonValue = None
    update: JsonValue = None

    @property
    def resumes(self) -> bool:
        """Whether it has an answer, which may be null."""
        return "resume" in self.model_fields_set

    @property
    def ends(self) -> bool:
        """Whether it goes to the end, without an answer."""
        return self.goto in ("__end__", ["__end__"])


class RunConfig(BaseModel):
    """The configuration of a run; its `configurable` fields are fields of the template."""

    configurable: dict[str, JsonValue] | None = None


class RunRequest(BaseModel):
    """A message to begin the next plan of the thread with, or an answer, or neither, to follow the newest run."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "assistant_id": "business_operations",
                    "input": {"messages": [{"type": "human", "content": "Sales by region are uneven"}]},
                    "stream_mode": ["values", "messages-tuple"],
                }
            ]
        }
    )

    assistant_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    input: JsonValue = None
    command: ResumeCommand | None = None
    config: RunConfig | None = None
    context: dict[str, JsonValue] | None = None
    stream_mode: Mode | Annotated[list[Mode], Field(max_length=32)] = "values"
    on_disconnect: Literal["cancel", "continue"] | None = None
    multitask_strategy: Literal["reject", "interrupt", "rollback", "enqueue"] | None = None
    checkpoint: dict[str, JsonValue] | None = None
    checkpoint_id: str | None = None
    webhook: str | None = None
    after_seconds: float | None = None

    @property
    def modes(self) -> Sequence[str]:
        names = [self.stream_mode] if isinstance(self.stream_mode, str) else self.stream_mode
        return names or ["values"]

    @property
    def fields(self) -> Mapping[str, Any]:
        """Fields of the template: of the configuration, the context and the input."""
        configured = self.config.configurable if self.config else None
        given = self.input if isinstance(self.input, dict) else {}
        return {**(configured or {}), **(self.context or {}), **given}

    @property
    def starts(self) -> bool:
        return self.input is not None and not (self.command and (self.command.resumes or self.command.ends))


class SearchThreads(BaseModel):
    """Which threads to list."""

    metadata: dict[str, JsonValue] | None = None
    ids: Annotated[list[str], Field(max_length=100)] | None = None
    status: Literal["idle", "busy", "interrupted", "error"] | None = None
    limit: Limit = 10
    offset: Annotated[int, Field(ge=0, le=10_000)] = 0


class HistoryRequest(BaseModel):
    """How many states to list."""

    limit: Limit = 10


class SearchAssistants(BaseModel):
    """Which assistants to list."""

    graph_id: str | None = None
    name: str | None = None
    limit: Limit = 10
    offset: Annotated[int, Field(ge=0, le=10_000)] = 0


def text_in(given: Any) -> str | None:
    """The text of the last message of a person in a run's input; None if there is none."""
    match given:
        case {"messages": [*messages]} | [*messages]:
            texts = (_text_of(message) for message in reversed(messages))
            return next((text for text in texts if text is not None), None)
        case {"messages": message}:
            return _text_of(message)
        case _:
            return _text_of(given)


def _text_of(message: Any) -> str | None:
    match message:
        case str():
            return message
        case {"type": "human" | "user", "content": content} | {"role": "human" | "user", "content": content}:
            return _joined(content)
        case ["human" | "user", content]:
            return _joined(content)
        case _:
            return None


def _joined(content: Any) -> str:
    match content:
        case [*blocks]:
            return "".join(_joined(block) for block in blocks)
        case {"text": str(text)} | str(text):
            return text
        case _:
            return ""
