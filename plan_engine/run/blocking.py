"""The same context for a plain synchronous agent, which runs in a thread of its own.

A thread can't be stopped from outside. When its attempt is over, whatever it is waiting for in the context, and the
next thing it asks of the context, raises `Cancelled`; until then it goes on unheard.
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
from plan_engine.errors import Cancelled, StepFailed, in_words
from plan_engine.model.plan import Agent, Step
from plan_engine.run.context import NO_DEFAULT, Answer, Context, Stream, ToolUse
from plan_engine.run.step_reporter import Voice

__all__ = ["BlockingContext", "BlockingStream", "in_thread"]

T = TypeVar("T")


class BlockingStream:
    """A message that is said in pieces."""

    def __init__(self, context: BlockingContext, stream: Stream) -> None:
        self._context, self._stream = context, stream

    def write(self, text: str) -> None:
        """Add text. Pieces are rolled up into few events."""
        self._context.wait_for(self._stream.write(text))


class BlockingContext:
    """As `plan_engine.run.context.Context`, each method waiting. It may be used from several threads."""

    def __init__(self, context: Context, voice: Voice) -> None:
        self._context = context
        self._voice = voice
        self._loop = asyncio.get_running_loop()
        self.input = context.input
        self.results = context.results
        self.owner = context.owner
        self.model = context.model

    @property
    def awaiting(self) -> Context:
        """The same for coroutines, which `wait_for` runs: `ctx.wait_for(role.answer(ctx.awaiting, "…"))`."""
        return self._context

    @property
    def plan_id(self) -> str:
        return self._context.plan_id

    @property
    def step(self) -> Step:
        return self._context.step

    @property
    def attempt(self) -> int:
        return self._context.attempt

    @property
    def max_attempts(self) -> int:
        return self._context.max_attempts

    @property
    def cancelled(self) -> bool:
        """Is this attempt over? For loops that tell nothing; everything else raises `Cancelled`."""
        return self._context.cancelled

    @property
    def key(self) -> str:
        """The same in every attempt of this step of this plan: an idempotency key for what it does to the world."""
        return self._context.key

    def think(self, text: str, *, agent: str | None = None, data: Mapping[str, Any] | None = None) -> None:
        """What the agent is thinking about."""
        self.wait_for(self._context.think(text, agent=agent, data=data))

    def act(self, text: str, *, agent: str | None = None, data: Mapping[str, Any] | None = None) -> None:
        """What the agent does now."""
        self.wait_for(self._context.act(text, agent=agent, data=data))

    def say(self, text: str, *, agent: str | None = None, data: Mapping[str, Any] | None = None) -> None:
        """What the agent found or made: a result, for people."""
        self.wait_for(self._context.say(text, agent=agent, data=data))

    def progress(self, percent: float, text: str | None = None, *, data: Mapping[str, Any] | None = None) -> None:
        """How far this step is, 0 to 100, and what it is at, in words for people."""
        self.wait_for(self._context.progress(percent, text, data=data))

    @contextmanager
    def stream(self, kind: MessageType = "result", *, agent: str | None = None) -> Generator[BlockingStream]:
        """Say something in pieces: `with ctx.stream() as s: s.write("…")`."""
        message_id = self.wait_for(self._voice.open_message(agent or self.step.agent_name, kind))
        try:
            yield BlockingStream(self, Stream(self._voice, message_id))
        except BaseException as error:
            with suppress(Cancelled):
                self.wait_for(self._voice.close_message(message_id, error))
            raise
        self.wait_for(self._voice.close_message(message_id))

    @contextmanager
    def tool(self, name: str, /, *, agent: str | None = None, **arguments: Any) -> Generator[ToolUse]:
        """Tell that a tool is used: `with ctx.tool("sql", query=q) as use: use.result = run(q)`."""
        call_id = self.wait_for(self._voice.open_tool(agent or self.step.agent_name, name, arguments or None))
        use = ToolUse(call_id)
        try:
            yield use
        except Exception as error:
            self.wait_for(self._voice.close_tool(call_id, "error", in_words(error)))
            raise
        self.wait_for(self._voice.close_tool(call_id, "completed", use.result))

    def artifact(
        self, name: str, mime_type: str, *, url: str | None = None, data: Any = None, artifact_id: str | None = None
    ) -> None:
        """Show something that was made: where it is, or, if it is small, the thing itself."""
        self.wait_for(self._context.artifact(name, mime_type, url=url, data=data, artifact_id=artifact_id))

    def ask(
        self,
        prompt: str,
        *,
        schema: Mapping[str, Any] | None = None,
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
    ) -> Any:
        """Ask a person a question, and wait for the answer."""
        return self.wait_for(self._context.ask(prompt, schema=schema, expires_in=expires_in, default=default))

    def choose(
        self,
        prompt: str,
        options: Sequence[Any],
        *,
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
    ) -> Any:
        """Let a person choose one of the options; the value chosen."""
        return self.wait_for(self._context.choose(prompt, options, expires_in=expires_in, default=default))

    def approve(
        self,
        prompt: str,
        *,
        options: Sequence[Any] = ("yes", "no"),
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
    ) -> Answer:
        """Ask a person to agree: `if ctx.approve("Send it?"):`."""
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
        """Ask a person, and wait: for days, and through restarts, if need be."""
        return self.wait_for(
            self._context.await_input(
                kind, prompt, options=options, schema=schema, expires_in=expires_in, default=default
            )
        )

    def sleep(self, seconds: float) -> None:
        """Do nothing for a while; unlike `time.sleep` it ends at once when the attempt is over."""
        self.wait_for(self._context.sleep(seconds))

    def checkpoint(self) -> None:
        """Tell nothing, but wait while the plan is paused, and raise `Cancelled` once this attempt is over."""
        self.wait_for(self._context.checkpoint())

    def wait_for(self, said: Coroutine[Any, Any, T]) -> T:
        """Do this in the engine's event loop, and wait for it; `Cancelled` when the attempt ends meanwhile."""
        over = Cancelled(f"this attempt of step {self.step.id!r} is over; nothing it says is told")
        if self._voice.closed or self._loop.is_closed():
            said.close()
            raise over
        future = asyncio.run_coroutine_threadsafe(said, self._loop)
        let_go = self._voice.on_close(future.cancel)
        if self.cancelled:  # since the last look; then nobody else would
            future.cancel()
        try:
            return future.result()
        except (futures.CancelledError, asyncio.CancelledError):
            raise over from None
        finally:
            let_go()


async def in_thread(agent: Agent, context: BlockingContext, name: str) -> Any:
    """Run a synchronous agent in a thread of its own, and wait for what it returns.

    Cancelled, it stops waiting; the thread goes on until it next uses its context. It is a daemon: a process that is to
    end doesn't wait for it.
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
                raise StepFailed("The agent is a plain function, and what it returns is to be awaited", retry=False)
        except (StopIteration, KeyboardInterrupt) as odd:  # no future takes the one, and no loop the other
            error = RuntimeError(f"the agent raised {odd!r}")
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, value, error)

    ambient = contextvars.copy_context()
    threading.Thread(target=ambient.run, args=(work,), name=name, daemon=True).start()
    return await outcome
