"""The commands of LangGraph's newer protocol: what a client sends to a thread, and what it gets back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BaseModel, Field, JsonValue, ValidationError

from broadcasters.snapshot import Snapshot
from hub.access.principal import Principal
from hub.api.problems import Problem, problem_of
from hub.node import Hub
from hub.protocols.langgraph.beginnings import Beginnings, Begun
from hub.protocols.langgraph.event_frames import ThreadPosition, seq_of
from hub.protocols.langgraph.requests import RunRequest, text_in
from hub.protocols.langgraph.runs import template_of
from hub.protocols.langgraph.thread import Thread
from hub.protocols.segments import open_questions, waits
from hub.wire.codes import ErrorCode

__all__ = [
    "Commands",
    "InputRespond",
    "ListCheckpoints",
    "ProtocolCommand",
    "RespondEntry",
    "RunStart",
    "StateGet",
    "error_response",
]

_HTTP: Final = frozenset({401, 403, 408, 413, 415, 429})
"""Errors that stay those of the request, as those from 500 on, because clients and proxies act on them."""
_CODES: Final[Mapping[str, str]] = {
    ErrorCode.FORBIDDEN: "permission_denied",
    ErrorCode.UNAUTHENTICATED: "permission_denied",
    ErrorCode.INVALID_TOKEN: "permission_denied",
    ErrorCode.NO_SUCH_REQUEST: "no_such_interrupt",
    ErrorCode.NOT_SUPPORTED: "not_supported",
    ErrorCode.UNAVAILABLE: "unknown_error",
    ErrorCode.INTERNAL: "unknown_error",
    ErrorCode.TOO_MANY_REQUESTS: "unknown_error",
    "no_such_thread": "no_such_run",
    "no_such_run": "no_such_run",
    "nothing_to_resume": "no_such_interrupt",
    "no_such_interrupt": "no_such_interrupt",
    "no_such_namespace": "no_such_namespace",
    "unknown_command": "unknown_command",
}
_REFUSED: Final[Mapping[str, str]] = {
    "input.inject": "a plan takes no messages while it works; wait for its question, or for its end",
    "state.fork": "a plan can't be continued from an earlier state",
    "subscription.subscribe": "open a stream with POST …/stream/events; each has channels of its own",
    "subscription.unsubscribe": "close the stream",
    "subscription.reconnect": "open a stream with `since`",
}


class ProtocolCommand(BaseModel):
    """A command; its response has the same id."""

    id: Annotated[int, Field(ge=0, lt=1 << 53)]
    method: Annotated[str, Field(min_length=1, max_length=128, examples=["run.start"])]
    params: dict[str, JsonValue] = Field(default={}, examples=[{"assistant_id": "business_operations"}])


class RunStart(RunRequest):
    """The parameters of `run.start`."""

    def request(self) -> RunRequest:
        """The request for a run. The checkpoint of a fork is in the configuration."""
        configured = (self.config.configurable if self.config else None) or {}
        checkpoint_id = configured.get("checkpoint_id")
        return self.model_copy(update={"checkpoint_id": checkpoint_id}) if checkpoint_id else self


class RespondEntry(BaseModel):
    """An answer to one question."""

    interrupt_id: Annotated[str, Field(min_length=1, max_length=256)]
    response: JsonValue = None
    namespace: list[str] = []


class InputRespond(BaseModel):
    """The parameters of `input.respond`: one answer, or several."""

    interrupt_id: str | None = None
    response: JsonValue = None
    namespace: list[str] = []
    responses: list[RespondEntry] | None = None
    update: JsonValue = None
    goto: JsonValue = None

    def answers(self) -> Mapping[str, Any]:
        """The answers by the ids of their questions."""
        if self.responses is not None:
            return {entry.interrupt_id: entry.response for entry in self.responses}
        return {} if self.interrupt_id is None else {self.interrupt_id: self.response}


class StateGet(BaseModel):
    """The parameters of `state.get`."""

    namespace: list[str] = []
    keys: list[str] | None = None


class ListCheckpoints(BaseModel):
    """The parameters of `state.listCheckpoints`."""

    namespace: list[str] = []
    limit: Annotated[int, Field(ge=1, le=1000)] = 10
    before: str | None = None


class _Result(NamedTuple):
    result: Mapping[str, Any]
    seq: int | None = None
    """What follows this sequence number came after the command."""


_Handler = Callable[[Principal, str, Mapping[str, Any]], Awaitable[_Result]]


class Commands:
    """Executes commands. What is wrong with a command is in its response; what is wrong with the request is raised."""

    def __init__(self, hub: Hub) -> None:
        self._beginnings = Beginnings(hub)
        self._handlers: Mapping[str, _Handler] = {
            "run.start": self._run_start,
            "input.respond": self._input_respond,
            "agent.getTree": self._agent_tree,
            "state.get": self._state_get,
            "state.listCheckpoints": self._list_checkpoints,
        }

    async def execute(self, principal: Principal, thread_id: str, command: ProtocolCommand) -> dict[str, Any]:
        """The response to a command."""
        try:
            result, seq = await self._handler(command.method)(principal, thread_id, command.params)
        except Exception as error:
            problem = _problem_of(error)
            if problem is None or problem.status_code in _HTTP or problem.status_code >= 500:
                raise
            return error_response(command.id, problem)
        meta = {} if seq is None else {"meta": {"applied_through_seq": seq}}
        return {"type": "success", "id": command.id, "result": result, **meta}

    def _handler(self, method: str) -> _Handler:
        if method in _REFUSED:
            raise Problem(ErrorCode.NOT_SUPPORTED, f"{method}: not supported here; {_REFUSED[method]}")
        if method not in self._handlers:
            known = ", ".join(self._handlers)
            raise Problem("unknown_command", f"unknown command {method!r:.140}; expected one of {known}")
        return self._handlers[method]

    # -- runs

    async def _run_start(self, principal: Principal, thread_id: str, params: Mapping[str, Any]) -> _Result:
        """Starts the next plan, or answers the question that the thread waits for with the message."""
        request = RunStart.model_validate(params).request()
        thread, text = await self._beginnings.thread(principal, thread_id), text_in(request.input)
        replaces = request.multitask_strategy in ("interrupt", "rollback")
        if thread is not None and not replaces and _answers(thread.newest, text):
            request = RunRequest.model_validate({"command": {"resume": text}})
        return _begun(thread_id, await self._beginnings.begin(principal, thread_id, request))

    async def _input_respond(self, principal: Principal, thread_id: str, params: Mapping[str, Any]) -> _Result:
        given = InputRespond.model_validate(params)
        if given.update is not None or given.goto is not None:
            raise Problem(ErrorCode.NOT_SUPPORTED, "input.respond: update and goto are not supported; leave them out")
        thread = await self._thread(principal, thread_id)
        answers, known = given.answers(), {question.request_id for question in thread.newest.inputs}
        if not answers:
            raise Problem(ErrorCode.INVALID_FIELD, "input.respond: expected interrupt_id and response, or responses")
        if unknown := answers.keys() - known:
            pending = ", ".join(question.request_id for question in open_questions(thread.newest)) or "none"
            detail = f"the thread has no question {min(unknown)!r:.140}; open questions: {pending}"
            raise Problem("no_such_interrupt", detail, status=404)
        request = RunRequest.model_validate({"command": {"resume": answers}})
        return _Result({}, _begun(thread_id, await self._beginnings.begin(principal, thread_id, request)).seq)

    # -- what there is

    async def _agent_tree(self, principal: Principal, thread_id: str, params: Mapping[str, Any]) -> _Result:
        del params  # the tree of an earlier run is the same
        thread = await self._thread(principal, thread_id)
        status = {"idle": "completed", "error": "failed", "busy": "running"}.get(thread.status, thread.status)
        return _Result({"tree": {"namespace": [], "status": status, "graph_name": template_of(thread.newest)}})

    async def _state_get(self, principal: Principal, thread_id: str, params: Mapping[str, Any]) -> _Result:
        wanted = StateGet.model_validate(params)
        state = (await self._thread(principal, thread_id, wanted.namespace)).state()
        values = state["values"]
        if wanted.keys is not None:
            values = {key: value for key, value in values.items() if key in wanted.keys}
        return _Result({"values": values, "checkpoint": {"id": state["checkpoint"]["checkpoint_id"]}})

    async def _list_checkpoints(self, principal: Principal, thread_id: str, params: Mapping[str, Any]) -> _Result:
        wanted = ListCheckpoints.model_validate(params)
        thread = await self._thread(principal, thread_id, wanted.namespace)
        states = [*zip(range(len(thread.plans), 0, -1), thread.states(), strict=True)]
        found = [
            {
                "id": state["checkpoint"]["checkpoint_id"],
                "timestamp": state["created_at"],
                "step": number,
                "metadata": state["metadata"],
            }
            for number, state in states
        ]
        ids = [checkpoint["id"] for checkpoint in found]
        first = ids.index(wanted.before) + 1 if wanted.before in ids else 0
        return _Result({"checkpoints": found[first : first + wanted.limit]})

    async def _thread(self, principal: Principal, thread_id: str, namespace: list[str] | None = None) -> Thread:
        thread = await self._beginnings.thread(principal, thread_id)
        if thread is None:
            raise Problem(
                "no_such_thread", f"there is no thread {thread_id!r:.140}; begin it with run.start", status=404
            )
        if namespace:
            raise Problem(
                "no_such_namespace", f"there is no namespace {namespace!r:.140}; plans have [] only", status=404
            )
        return thread


def _answers(plan: Snapshot, text: str | None) -> bool:
    """Whether a message answers the only question that the plan waits for: it asks for a text, or the text is an option."""
    questions = open_questions(plan) if text is not None and waits(plan) else ()
    return len(questions) == 1 and (questions[0].kind == "clarification" or text in (questions[0].options or ()))


def _begun(thread_id: str, begun: Begun) -> _Result:
    plan_id = begun.run.plan.plan_id
    number = 1 if plan_id == thread_id else int(plan_id.rpartition(".")[2])
    return _Result({"run_id": begun.run.run_id}, seq_of(ThreadPosition(number, begun.begin)))


def _problem_of(error: Exception) -> Problem | None:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(["params", *map(str, first["loc"])])
        return Problem(ErrorCode.INVALID_FIELD, f"{field}: {first['msg']}", field=field)
    return problem_of(error)


def _code_of(problem: Problem) -> str:
    """The protocol's code for an error."""
    unknown = "unknown_error" if problem.status_code >= 500 else "invalid_argument"
    return _CODES.get(str(problem.body["code"]), unknown)


def error_response(command_id: int | None, problem: Problem) -> dict[str, Any]:
    """The response for an error, with a message for people."""
    message = str(problem.detail)
    return {"type": "error", "id": command_id, "error": _code_of(problem), "message": message}
