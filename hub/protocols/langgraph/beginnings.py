"""What a request for a run does to the thread: it starts the next plan, answers a question, or follows the newest run."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from broadcasters.snapshot import InputState, Snapshot
from hub.access.principal import Principal
from hub.api.problems import Problem
from hub.node import Hub
from hub.protocols.langgraph.requests import RunRequest, text_in
from hub.protocols.langgraph.runs import ThreadRun, begin_of, runs_of
from hub.protocols.langgraph.state import resumption
from hub.protocols.langgraph.thread import Thread
from hub.protocols.threads import ThreadPlan, Threads
from hub.wire.codes import ErrorCode

__all__ = ["Beginnings", "Begun", "new_thread_id"]


def new_thread_id() -> str:
    """An id for a thread that the client gave none."""
    return f"thread-{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class Begun:
    """A run, and the position in its plan after which it begins."""

    run: ThreadRun
    begin: int
    earlier: bytes
    """The messages of the thread's earlier plans."""
    least: int = 0
    """The position of the last answer, where the run does not end yet."""
    whole: bool = False
    """The run ends only with its plan."""


class Beginnings:
    """Begins runs and finds them. Raises what `problem_of` knows."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._threads = Threads(hub)

    async def thread(self, principal: Principal, thread_id: str) -> Thread | None:
        """The thread with all its plans; None: there is no such thread."""
        plans = await self._threads.all(principal, thread_id)
        return Thread(thread_id, [one.plan for one in plans]) if plans else None

    async def begin(self, principal: Principal, thread_id: str, request: RunRequest) -> Begun:
        """Do what the request says."""
        newest = await self._threads.newest(principal, thread_id)
        _check(request, newest)
        if request.starts:
            return await self._start(principal, thread_id, newest, request)
        if newest is None:
            raise Problem("no_such_thread", f"there is no thread {thread_id!r:.140}; begin it with input", status=404)
        if request.command is not None and request.command.resumes:
            return await self._resume(principal, thread_id, newest, request.command.resume)
        ends = request.command is not None and request.command.ends
        ends = ends and await self._threads.cancel(principal, newest.plan.plan_id)
        begun = await self.begun(principal, thread_id, runs_of(thread_id, [newest.plan])[-1])
        return replace(begun, whole=ends)

    async def find(self, principal: Principal, thread_id: str, run_id: str) -> ThreadRun:
        """The run with its plan as it is."""
        plans = [one.plan for one in await self._threads.all(principal, thread_id)]
        for run in runs_of(thread_id, plans):
            if run.run_id == run_id:
                return run
        raise Problem("no_such_run", f"the thread {thread_id!r:.140} has no run {run_id!r:.80}", status=404)

    async def begun(self, principal: Principal, thread_id: str, run: ThreadRun) -> Begun:
        """The run, to be followed from its beginning."""
        begin = await begin_of(self._hub.log, run)
        return Begun(run, begin, await self._earlier(principal, thread_id, run.plan.plan_id))

    async def cancel(self, principal: Principal, run: ThreadRun) -> bool:
        """False: nothing that obeys works on the run's plan."""
        return await self._threads.cancel(principal, run.plan.plan_id)

    # -- the two that change something

    async def _start(
        self, principal: Principal, thread_id: str, newest: ThreadPlan | None, request: RunRequest
    ) -> Begun:
        if request.assistant_id is None:
            raise Problem(ErrorCode.INVALID_FIELD, "assistant_id: name the template to start")
        self._threads.template(request.assistant_id)  # before anything is cancelled for it
        if newest is not None and not newest.ended:
            if request.multitask_strategy not in ("interrupt", "rollback"):
                detail = (
                    "the thread is busy: wait for its run, answer its question with command.resume, or use the "
                    "multitask_strategy “interrupt”"
                )
                raise Problem("thread_busy", detail, status=409)
            await self._threads.cancel(principal, newest.plan.plan_id)
        number = 1 if newest is None else newest.number + 1
        text = text_in(request.input)
        plan_id = await self._threads.start(principal, request.assistant_id, thread_id, number, text, request.fields)
        plan = (await self._threads.plan(principal, thread_id, number)).plan
        return Begun(ThreadRun(thread_id, plan, None), 0, await self._earlier(principal, thread_id, plan_id))

    async def _resume(self, principal: Principal, thread_id: str, newest: ThreadPlan, value: Any) -> Begun:
        answers = _answers_in(newest.plan, value)
        given: list[int] = []
        for question, answer in answers:
            position = await self._threads.answer(
                principal, newest.plan.plan_id, question.request_id, resumption(question, answer)
            )
            given += [] if position is None else [position.offset]
        plan = (await self._threads.plan(principal, thread_id, newest.number)).plan
        question = answers[0][0]
        run = ThreadRun(thread_id, plan, next((one for one in plan.inputs if one.offset == question.offset), question))
        begin = min(given) - 1 if given else await begin_of(self._hub.log, run)
        return Begun(run, begin, await self._earlier(principal, thread_id, plan.plan_id), max(given, default=0))

    async def _earlier(self, principal: Principal, thread_id: str, plan_id: str) -> bytes:
        if plan_id == thread_id:
            return b""
        thread = await self.thread(principal, thread_id)
        return thread.earlier(plan_id) if thread else b""


def _answers_in(plan: Snapshot, value: Any) -> Sequence[tuple[InputState, Any]]:
    """The questions that a resume value answers, with the answers. A value alone answers the only open question, or
    repeats the last answer."""
    known = {question.request_id: question for question in plan.inputs}
    named = _names_in(value)
    if named and known.keys() >= named.keys():
        return [(known[name], answer) for name, answer in named.items()]
    pending = [question for question in plan.inputs if question.answered_at is None]
    if len(pending) > 1:
        names = ", ".join(question.request_id for question in pending)
        raise Problem(ErrorCode.INVALID_FIELD, f"command.resume: several questions are open; name one of {names}")
    answered = sorted(plan.inputs, key=lambda question: question.answered_at or "")
    if not (questions := pending or answered[-1:]):
        raise Problem("nothing_to_resume", "the thread has no question to resume from", status=409)
    return [(questions[0], value)]


def _names_in(value: object) -> Mapping[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _check(request: RunRequest, newest: ThreadPlan | None) -> None:
    """Refuse what this hub does not do, rather than do something else."""
    command = request.command
    if command is not None and ((command.goto is not None and not command.ends) or command.update is not None):
        detail = "command: only resume is supported, and goto of “__end__”; got another goto, or update"
        raise Problem(ErrorCode.INVALID_FIELD, detail)
    for name in ("webhook", "after_seconds"):
        if getattr(request, name) is not None:
            raise Problem(ErrorCode.INVALID_FIELD, f"{name}: not supported by this hub; leave it out")
    checkpoint_id = request.checkpoint_id or (request.checkpoint or {}).get("checkpoint_id")
    plan_id = None if newest is None else newest.plan.plan_id
    if checkpoint_id is not None and str(checkpoint_id).rpartition(":")[0] != plan_id:  # pages send the last they read
        raise Problem(ErrorCode.INVALID_FIELD, "checkpoint: a plan can't be continued from an earlier state")
