"""What a run that was killed has published of a plan, so that the run after it publishes nothing twice."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from broadcasters.asking import digest_of
from broadcasters.broadcaster import Broadcaster
from broadcasters.events import MessageType
from broadcasters.questions import InputQuestion
from broadcasters.snapshot import InputState, MessageState, Snapshot
from broadcasters.streamed_message import Message
from plan_engine.adapters.conversion import shortened

__all__ = ["PublishedIds", "WrittenMessage", "question_signature"]

Signature = tuple[str | None, ...]
"""What a part has in common with the part of another run that it repeats."""


class PublishedIds:
    """The ids under which a run publishes its parts.

    A run that continues another one gives its parts the same ids, except to tool calls, which models number. One that starts
    over takes the ids of the run before it: for each part, that of the first part of the same kind that it has not repeated.

    Args:
        plan: The plan as this run has found it.
        after: The parts after this offset are of the run that is repeated; None: this run continues it.
    """

    def __init__(self, plan: Snapshot, after: int | None) -> None:
        self._ids: dict[tuple[str, str], str] = {}
        self._earlier = defaultdict[Signature, deque[str]](deque)
        for offset, part_id, signature in _parts(plan):
            if signature[0] == "tool" if after is None else offset > after:
                self._earlier[signature].append(part_id)

    def of(self, own_id: str, *signature: str | None) -> str:
        """The id under which the part is published that has this id in the run."""
        key = (str(signature[0]), own_id)
        if key not in self._ids:
            earlier, same = self._earlier[signature], shortened(own_id)
            found = same if same in earlier or not earlier else earlier[0]
            with suppress(ValueError):
                earlier.remove(found)
            self._ids[key] = found
        return self._ids[key]

    def known(self, kind: str, own_id: str | None) -> str | None:
        """The same, of a part that was published already."""
        return own_id and self._ids.get((kind, own_id), shortened(own_id))


def _parts(plan: Snapshot) -> Iterable[tuple[int, str, Signature]]:
    for step in plan.steps:
        yield step.offset, step.step_id, ("step", step.title)
    for message in plan.messages:
        yield message.offset, message.message_id, ("message", message.agent_name, message.message_type)
    for call in plan.tool_calls:
        yield call.offset, call.call_id, ("tool", call.agent_name, call.tool_name, call.step_id)
    for request in plan.inputs:
        yield request.offset, request.request_id, question_signature(request)


def question_signature(question: InputQuestion | InputState) -> Signature:
    """A question is repeated by one that reads the same."""
    if isinstance(question, InputState):
        options = None if question.options is None else [*question.options]
        question = InputQuestion(question.kind, question.prompt, options, question.json_schema)
    return "question", digest_of(question)


class WrittenMessage:
    """A message being written. Text that was published before it isn't published again; other text replaces it.

    Args:
        broadcaster: Sends it.
        plan_id: The plan.
        agent: The agent's name.
        kind: How it is shown.
        ids: Its `message_id` and `step_id`.
        known: The message as it was published before.
    """

    def __init__(
        self,
        broadcaster: Broadcaster,
        plan_id: str,
        agent: str,
        kind: MessageType,
        ids: dict[str, Any],
        known: MessageState | None,
    ) -> None:
        self._broadcaster, self._plan_id, self._agent, self._ids, self._known = broadcaster, plan_id, agent, ids, known
        self._kind: MessageType = kind
        self._repeated = ""
        self._message: Message | None = None

    async def write(self, text: str) -> None:
        if self._known is not None:
            self._repeated += text
            if self._known.content.startswith(self._repeated):
                return
            text = await self._go_beyond(self._known)
        if self._message is None:
            self._message = await self._opened()
        await self._message.write(text)

    async def end(self, error: BaseException | None = None) -> None:
        known = self._known
        if known is not None and error is None and (known.content, known.error) != (self._repeated, None):
            text = await self._go_beyond(known)
            await self.write(text)
        if self._message is None and (known is None or known.streaming):
            self._message = await self._opened()
        if self._message is not None:
            await self._message.__aexit__(type(error) if error else None, error, None)

    async def _go_beyond(self, known: MessageState) -> str:
        """The text to be published: the rest if it continues what was published, else all of it in place of that."""
        self._known = None
        if known.streaming and self._repeated.startswith(known.content):
            return self._repeated[len(known.content) :]
        await self._broadcaster.send_agent_message(self._plan_id, self._agent, "", self._kind, final=False, **self._ids)
        return self._repeated

    async def _opened(self) -> Message:
        return await self._broadcaster.message(self._plan_id, self._agent, self._kind, **self._ids).__aenter__()
