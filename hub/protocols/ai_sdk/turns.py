"""A turn of a chat: starts a plan or answers one, and finds the segment that responds to the client."""

from __future__ import annotations

from typing import Final

from broadcasters.position import Position
from hub.access.principal import Principal
from hub.api.problems import Problem
from hub.node import Hub
from hub.protocols.ai_sdk.encoder import UiMessageEncoder
from hub.protocols.ai_sdk.requests import ChatPost, UiChatMessage, answers_in, plan_in_chat, text_of
from hub.protocols.segments import SegmentReader, open_questions, waits
from hub.protocols.threads import ThreadPlan, Threads, may_have_started, not_cancelled, working_on_another
from hub.wire.codes import ErrorCode

__all__ = ["Chats", "replay"]

ENCODER: Final = UiMessageEncoder()


def replay(plan_id: str, least: int = 0) -> SegmentReader:
    """The whole plan, at least to this offset, for a client that begins its message again."""
    return SegmentReader(plan_id, ENCODER, least=least)


class Chats:
    """What clients do with chats. Each method checks the caller's rights and raises what `problem_of` knows."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.threads = Threads(hub)

    async def turn(self, principal: Principal, template: str, post: ChatPost) -> SegmentReader:
        """Do what the client requests, and return the response."""
        if (message := post.answering) is not None:
            return await self._continue(principal, post.id, message)
        text, newest = text_of(post), await self.threads.newest(principal, post.id)
        if newest is not None and not newest.ended:
            return await self._join(principal, post, newest, text)
        number, fields = (newest.number if newest else 0) + 1, post.model_extra or {}
        return replay(await self.threads.start(principal, template, post.id, number, text, fields))

    async def resume(self, principal: Principal, chat_id: str, *, ended: bool) -> SegmentReader | None:
        """The chat's last plan. None: there is none, or it has ended and is not to be repeated."""
        newest = await self.threads.newest(principal, chat_id)
        gone = newest is None or (newest.ended and not ended)
        return None if newest is None or gone else replay(newest.plan.plan_id, newest.position.offset)

    async def stop(self, principal: Principal, chat_id: str) -> None:
        """Cancel the chat's last plan, unless it has ended. Raises `Problem` if there is no such chat, or nothing obeys."""
        newest = await self.threads.newest(principal, chat_id)
        if newest is None:
            raise _unknown(chat_id)
        if not newest.ended and not await self.threads.cancel(principal, newest.plan.plan_id):
            raise not_cancelled(newest.plan.plan_id)

    async def _join(self, principal: Principal, post: ChatPost, newest: ThreadPlan, text: str) -> SegmentReader:
        """A message while a plan runs: the answer to its question, or a repetition of the message that started it."""
        plan, least = newest.plan, newest.position.offset
        if post.trigger == "submit-message" and post.shows(plan.plan_id):
            questions = open_questions(plan)
            if not waits(plan) or len(questions) != 1 or questions[0].kind != "clarification":
                detail = "the last message is still being worked on: wait for its end, answer its question, or stop it"
                raise Problem(ErrorCode.NOT_SUPPORTED, detail)
            position = await self.threads.answer(principal, plan.plan_id, questions[0].request_id, text)
            least = position.offset if position is not None else least
        elif post.trigger == "submit-message" and not may_have_started(text, plan):
            raise working_on_another()
        return replay(plan.plan_id, least)

    async def _continue(self, principal: Principal, chat_id: str, message: UiChatMessage) -> SegmentReader:
        found = await self.threads.plan(principal, chat_id, plan_in_chat(chat_id, message))
        if not found.position.offset:
            raise _unknown(chat_id)
        plan_id, after, least = found.plan.plan_id, await self._known(found, message.position), found.position.offset
        for given in [*answers_in(message, found.plan)]:
            position = await self.threads.answer(principal, plan_id, given.request_id, given.answer)
            if position is not None:
                after = position.offset - 1 if after is None else after  # nothing else happens while a plan waits
                least = max(least, position.offset)
        return SegmentReader(plan_id, ENCODER, least if after is None else after, exact=True, least=least)

    async def _known(self, found: ThreadPlan, position: Position | None) -> int | None:
        """The offset after which the client continues, if it knows that."""
        if position is None:
            return None
        plan_id = found.plan.plan_id
        head = (await self._hub.log.heads([plan_id]))[plan_id]
        if head.continuity(position) not in ("ok", "trimmed"):
            detail = "the plan's log was replaced since the message was received; reload the chat"
            raise Problem(ErrorCode.CONTINUITY_LOST, detail)
        return position.offset


def _unknown(chat_id: str) -> Problem:
    return Problem("no_such_chat", f"there is no chat {chat_id!r:.80}", status=404)
