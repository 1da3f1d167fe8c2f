"""The context of a synchronous agent, which runs in a thread of its own.

A thread can't be stopped from outside. When its attempt is over, the context method it is waiting in, and every method it
calls after that, raises `Cancelled`; until then the thread keeps running, but reports nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Coroutine, Generator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

from broadcasters.events import InputKind, MessageType
from broadcasters.usage import UsageFields
from plan_engine.errors import Cancelled, StepFailed, in_words
from plan_engine.model.interaction import NO_DEFAULT, Answer
from plan_engine.model.plan import Agent, Step
from plan_engine.run.context import Context, Stream, ToolUse
from plan_engine.run.step_reporter import StepReporter

__all__ = ["BlockingContext", "BlockingStream", "in_thread"]

T = TypeVar("T")


class BlockingStream:
    """A message sent piece by piece. Made by `BlockingContext.stream`."""

    def __init__(self, context: BlockingContext, stream: Stream) -> None:
        self._context, self._stream = context, stream

    def write(self, text: str) -> None:
        """Add text. Returns before the text is durable; pieces are rolled up into few events.

        Args:
            text: the text to append to the message.

        Raises:
            InvalidEvent: `text` isn't a string that can be encoded.
            Cancelled: this attempt is over.
        """
        self._context.wait_for(self._stream.write(text))

    def report_usage(self, usage: UsageFields) -> None:
        """Report what was used of a model for this message. Arguments and errors as for `Stream.report_usage`."""
        self._stream.report_usage(usage)


class BlockingContext:
    """The counterpart of `Context` for synchronous agents: each method blocks. It may be used from several threads.

    Attributes:
        input: what the plan was started with.
        results: the results of the steps that this one needs, by step id; a skipped step is missing.
        owner: the owner of the plan, if it has one.
        model: the language model to use.

    Example:
        def look_up(ctx: BlockingContext) -> dict[str, int]:
            ctx.think("Which month do they mean?")
            with ctx.tool("orders", month="May") as use:
                use.result = count_orders("May")
            return {"orders": use.result}
    """

    def __init__(self, context: Context, reporter: StepReporter) -> None:
        self._context = context
        self._reporter = reporter
        self._loop = asyncio.get_running_loop()
        self.input = context.input
        self.results = context.results
        self.owner = context.owner
        self.model = context.model

    @property
    def awaiting(self) -> Context:
        """The `Context`, for coroutines that `wait_for` runs: `ctx.wait_for(role.answer(ctx.awaiting, "…"))`."""
        return self._context

    @property
    def plan_id(self) -> str:
        """The id of the plan."""
        return self._context.plan_id

    @property
    def step(self) -> Step:
        """The step that the agent works on."""
        return self._context.step

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self._context.attempt

    @property
    def max_attempts(self) -> int:
        """The number of attempts this step has, counting those that restarts of its workers ended."""
        return self._context.max_attempts

    @property
    def cancelled(self) -> bool:
        """Whether this attempt is over. For loops that call nothing here; every method raises `Cancelled`."""
        return self._context.cancelled

    @property
    def key(self) -> str:
        """An idempotency key for this step's effects on other systems: the same in every attempt."""
        return self._context.key

    def think(
        self,
        text: str,
        *,
        agent: str | None = None,
        data: Mapping[str, Any] | None = None,
        usage: UsageFields | None = None,
    ) -> None:
        """Report a thought, as a `thinking` message.

        Args:
            text: the message, for people.
            agent: the agent's name; by default the step's `agent_name`.
            data: anything for programs, as JSON.
            usage: what was used of a model for it, and nothing else reports.
        """
        self.wait_for(self._context.think(text, agent=agent, data=data, usage=usage))

    def act(
        self,
        text: str,
        *,
        agent: str | None = None,
        data: Mapping[str, Any] | None = None,
        usage: UsageFields | None = None,
    ) -> None:
        """Report what the agent does now, as an `action` message. Arguments as for `think`."""
        self.wait_for(self._context.act(text, agent=agent, data=data, usage=usage))

    def say(
        self,
        text: str,
        *,
        agent: str | None = None,
        data: Mapping[str, Any] | None = None,
        usage: UsageFields | None = None,
    ) -> None:
        """Report what the agent found or made, as a `result` message. Arguments as for `think`."""
        self.wait_for(self._context.say(text, agent=agent, data=data, usage=usage))

    def report_usage(self, usage: UsageFields, *, agent: str | None = None) -> None:
        """Report what was used of a model, where no message or tool call reports it. Arguments as for
        `Context.report_usage`."""
        self.wait_for(self._context.report_usage(usage, agent=agent))

    def progress(self, percent: float, text: str | None = None, *, data: Mapping[str, Any] | None = None) -> None:
        """Report the step's progress.

        Args:
            percent: 0 to 100.
            text: what is being done now, for people.
            data: anything for programs, as JSON.
        """
        self.wait_for(self._context.progress(percent, text, data=data))

    @contextmanager
    def stream(self, kind: MessageType = "result", *, agent: str | None = None) -> Generator[BlockingStream]:
        """Send one message piece by piece, as a model produces it. Arguments as for `Context.stream`.

        Example:
            with ctx.stream() as message:
                message.write("Look")
                message.write("ing…")
        """
        message_id = self.wait_for(self._reporter.open_message(agent or self.step.agent_name, kind))
        try:
            yield BlockingStream(self, Stream(self._reporter, message_id))
        except BaseException as error:
            with suppress(Cancelled):
                self.wait_for(self._reporter.close_message(message_id, error))
            raise
        self.wait_for(self._reporter.close_message(message_id))

    @contextmanager
    def tool(self, name: str, /, *, agent: str | None = None, **arguments: Any) -> Generator[ToolUse]:
        """Report a tool call: started, and then completed, or failed if an exception leaves the block.

        Args:
            name: the tool's name.
            agent: the agent's name; by default the step's `agent_name`.
            **arguments: the call's arguments, as JSON.

        Example:
            with ctx.tool("sql", query=q) as use:
                use.result = run(q)
        """
        call_id = self.wait_for(self._reporter.open_tool(agent or self.step.agent_name, name, arguments or None))
        use = ToolUse(call_id)
        try:
            yield use
        except Exception as error:
            self.wait_for(self._reporter.close_tool(call_id, "error", in_words(error), use.usage))
            raise
        except BaseException:
            self._reporter.count_tool_usage(call_id, use.usage)
            raise
        self.wait_for(self._reporter.close_tool(call_id, "completed", use.result, use.usage))

    def artifact(
        self, name: str, mime_type: str, *, url: str | None = None, data: Any = None, artifact_id: str | None = None
    ) -> None:
        """Show something the agent made. Arguments as for `Context.artifact`."""
        self.wait_for(self._context.artifact(name, mime_type, url=url, data=data, artifact_id=artifact_id))

    def ask(
        self,
        prompt: str,
        *,
        schema: Mapping[str, Any] | None = None,
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
    ) -> Any:
        """Ask a person an open question, and wait for the answer's value. Arguments and errors as for `Context.ask`."""
        return self.wait_for(self._context.ask(prompt, schema=schema, expires_in=expires_in, default=default))

    def choose(
        self,
        prompt: str,
        options: Sequence[Any],
        *,
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
    ) -> Any:
        """Let a person choose one of several options; returns the value chosen. Arguments and errors as for
        `Context.choose`."""
        return self.wait_for(self._context.choose(prompt, options, expires_in=expires_in, default=default))

    def approve(
        self,
        prompt: str,
        *,
        options: Sequence[Any] = ("yes", "no"),
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
    ) -> Answer:
        """Ask a person for approval: `if ctx.approve("Send it?"): …`. Arguments and errors as for `Context.approve`."""
        return self.wait_for(self._context.approve(prompt, options=options, expires_in=expires_in, default=default))

    def await_input(
        self,
        kind: InputKind,
        prompt: str,
        *,
        options: Sequence[Any] | None = None,
        schema: Mapping[str, Any] | None = None,
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
    ) -> Answer:
        """Ask a person, and wait for the first answer: for days, and across restarts, if need be. Arguments and errors as
        for `Context.await_input`."""
        return self.wait_for(
            self._context.await_input(
                kind, prompt, options=options, schema=schema, expires_in=expires_in, default=default
            )
        )

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`. Unlike `time.sleep`, it raises `Cancelled` as soon as the attempt is over."""
        self.wait_for(self._context.sleep(seconds))

    def checkpoint(self) -> None:
        """Report nothing, but wait while the plan is paused. Raises `Cancelled` once this attempt is over."""
        self.wait_for(self._context.checkpoint())

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the engine's event loop, and wait for its result.

        Args:
            work: the coroutine, for instance a call of a method of `awaiting`.

        Raises:
            Cancelled: the attempt is over, or ended meanwhile.
        """
        over = Cancelled(f"this attempt of step {self.step.id!r} is over; it can report nothing more")
        if self._reporter.closed or self._loop.is_closed():
            work.close()
            raise over
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        forget = self._reporter.on_close(future.cancel)
        if self.cancelled:  # closed since the check above, and before on_close
            future.cancel()
        try:
            return future.result()
        except (futures.CancelledError, asyncio.CancelledError):
            raise over from None
        finally:
            forget()


async def in_thread(agent: Agent, context: BlockingContext, name: str) -> Any:
    """Run a synchronous agent in a thread of its own, and wait for what it returns.

    When this is cancelled, it stops waiting, and the thread keeps running until it next uses its context. It is a daemon
    thread, so that it doesn't keep its process from ending.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()

    def settle(value: Any, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
            outcome.exception()
        else:
            outcome.set_result(value)

    def work() -> None:
        value: Any = None
        error: BaseException | None = None
        try:
            value = agent(context)
            if inspect.iscoroutine(value):
                value.close()
                raise StepFailed(
                    "The agent is a plain function, but it returned a coroutine; define it with `async def`",
                    retry=False,
                )
        except (StopIteration, KeyboardInterrupt) as odd:  # futures refuse the one, event loops stop at the other
            error = RuntimeError(f"the agent raised {odd!r}")
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop is closed, so nothing waits for the outcome
            loop.call_soon_threadsafe(settle, value, error)

    ambient = contextvars.copy_context()
    threading.Thread(target=ambient.run, args=(work,), name=name, daemon=True).start()
    return await outcome
