"""A plan as MACAE's page shows it: its status, the steps to approve, the agents' messages, and the result. Pure.

The page adds every message that it receives to those that it got with the plan, and compares none. So a plan's messages
leave out what its socket sends when it opens: the open question, and the end of a plan that failed or was cancelled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast
from urllib.parse import unquote

from pydantic_core import from_json

from broadcasters.snapshot import InputState, MessageState, Snapshot, StepState
from hub.dialects.dialect import plan_id_of
from hub.protocols.segments import open_questions
from hub.protocols.threads import request_of

__all__ = [
    "KIND",
    "MANAGER",
    "answer_to",
    "approvals",
    "approved",
    "found_plan",
    "is_bubble",
    "listed_plan",
    "macae_plan",
    "messages_of",
    "open_clarification",
    "options_of",
    "owner_in",
    "plan_of",
    "prefix_of",
    "question_text",
    "result_text",
    "seconds",
    "session_in",
    "status_of",
    "team_in",
    "text_of",
    "thoughts_of",
    "unescaped",
]

KIND: Final = "macae"
"""A user's plans are `macae:{user}:{session}`, so they begin with `macae:{user}:`."""
MANAGER: Final = "Group_Chat_Manager"
"""The agent by whose name the page shows questions and results."""
TEAM_LABEL: Final = "team:team:"
_ENDS: Final = {"completed": "completed", "error": "failed", "cancelled": "canceled"}


# -- ids


def plan_of(user: str, session: str) -> str:
    """The id of the plan that a user's session has. Raises `InvalidPlanId`."""
    return plan_id_of(KIND, user, session)


def prefix_of(user: str) -> str:
    """What the ids of all the user's plans begin with. Raises `InvalidPlanId`."""
    return f"{plan_id_of(KIND, user)}:"


def owner_in(plan_id: str) -> str | None:
    """The user in the id of one of the dialect's plans; None for other plans."""
    kind, _, rest = plan_id.partition(":")
    user, colon, _ = rest.partition(":")
    return unescaped(user) if kind == KIND and colon else None


def session_in(plan_id: str) -> str:
    """The session in the id of one of the dialect's plans; of other plans the id itself."""
    return plan_id if owner_in(plan_id) is None else unescaped(plan_id.split(":", 2)[2])


def unescaped(name: str) -> str:
    """A name in one of the ids that `plan_id_of` makes."""
    return unquote(name.replace("~", "%"), errors="replace")


# -- the state of a plan


def approvals(plan: Snapshot) -> Sequence[InputState]:
    """The plan's requests for approval, in their order."""
    return [question for question in plan.inputs if question.kind == "approval"]


def _open_approval(plan: Snapshot) -> InputState | None:
    return next((question for question in open_questions(plan) if question.kind == "approval"), None)


def open_clarification(plan: Snapshot) -> InputState | None:
    """The question to which the chat box replies; None if there is none."""
    return next((question for question in open_questions(plan) if question.kind != "approval"), None)


def approved(plan: Snapshot) -> bool:
    """Whether the agents may work: a plan of this dialect waits for its first approval, other plans wait for none."""
    return _open_approval(plan) is None and (owner_in(plan.plan_id) is None or bool(approvals(plan)))


def status_of(plan: Snapshot) -> str:
    """The page's word for it. It shows the approval's buttons, and drops agents' messages, while it is `in_progress`."""
    return _ENDS.get(plan.status) or ("approved" if approved(plan) else "in_progress")


def team_in(labels: Sequence[str]) -> str:
    """The id of the team in a plan's labels; "" if there is none."""
    return next((label.removeprefix(TEAM_LABEL) for label in labels if label.startswith(TEAM_LABEL)), "")


def seconds(at: str | None) -> float:
    """A time as Unix time."""
    return datetime.fromisoformat(at).timestamp() if at else 0.0


# -- what the page gets


def found_plan(plan: Snapshot, user: str) -> dict[str, Any]:
    """The plan itself."""
    return _plan(plan.plan_id, user, request_of(plan), plan.created_at, status_of(plan), team_in(plan.labels)) | {
        "approved": approved(plan)
    }


def listed_plan(
    plan_id: str, user: str, title: str | None, created_at: str, labels: Sequence[str]
) -> Mapping[str, Any]:
    """A completed plan in the list."""
    return _plan(plan_id, user, title, created_at, "completed", team_in(labels)) | {"approved": True}


def _plan(plan_id: str, user: str, title: str | None, at: str | None, status: str, team: str) -> dict[str, Any]:
    return {
        "id": plan_id,
        "plan_id": plan_id,
        "session_id": session_in(plan_id),
        "timestamp": at,
        "data_type": "plan",
        "user_id": user,
        "initial_goal": title or plan_id,
        "overall_status": status,
        "source": "Planner_Agent",
        "team_id": team,
    }


def macae_plan(plan: Snapshot) -> dict[str, Any] | None:
    """The steps to approve, or that were approved; None as long as they are being drafted.

    Its id is that of the request for approval, which the page sends back."""
    asked = _open_approval(plan) or next(reversed(approvals(plan)), None)
    if asked is None and not approved(plan):
        return None
    drafted = _draft(plan)
    steps = drafted.get("steps") or [{"agent": step.agent_name or "", "action": _action(step)} for step in plan.steps]
    return {
        "id": asked.request_id if asked else plan.plan_id,
        "plan_id": plan.plan_id,
        "user_id": owner_in(plan.plan_id) or "",
        "team_id": team_in(plan.labels),
        "overall_status": status_of(plan),
        "user_request": request_of(plan),
        "team": [*dict.fromkeys(step["agent"] for step in steps if step["agent"])],
        "facts": str(drafted.get("facts", "")) or (asked.prompt if asked else ""),
        "steps": [{"agent": step["agent"], "action": step["action"]} for step in steps],
    }


def _draft(plan: Snapshot) -> Mapping[str, Any]:
    """What the template `team` drafted; {} for other plans."""
    data = next((step.data for step in plan.steps if step.step_id == "draft" and step.status == "completed"), None)
    steps: Any = (data or {}).get("steps")
    fits = isinstance(steps, list) and all(isinstance(step, dict) and {"agent", "action"} <= {*step} for step in steps)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return data if data and fits else {}


def _action(step: StepState) -> str:
    """The step's title, long enough for the page to show it."""
    title = step.title or step.step_id
    return title if len(title) > 3 else f"Step {title}"


def is_bubble(message: MessageState) -> bool:
    """Whether the page shows the message by itself. Thoughts are only in the text of the thinking process."""
    return message.message_type != "thinking"


def messages_of(plan: Snapshot) -> list[dict[str, Any]]:
    """The plan's messages and answered questions, in their order; without the open question and unfinished messages."""
    messages = [*_agents(plan), *_dialogues(plan)]
    if plan.status == "completed":
        messages.append((plan.offset, _message(MANAGER, result_text(plan), plan.ended_at)))
    return [message for _, message in sorted(messages, key=lambda one: one[0])]


def _agents(plan: Snapshot) -> Iterator[tuple[float, dict[str, Any]]]:
    for message in plan.messages:
        if is_bubble(message) and not message.streaming:
            yield message.offset, _message(message.agent_name, message.content, message.at)


def _dialogues(plan: Snapshot) -> Iterator[tuple[float, dict[str, Any]]]:
    """Questions with their answers. Approvals are buttons, which the page does not show again."""
    for question in plan.inputs:
        if question.kind != "approval" and question.answered_at is not None:
            yield question.offset, _message(MANAGER, question_text(question), question.at)
            yield (
                question.offset + 0.5,
                _message("human", text_of(question.answer), question.answered_at, "Human_Agent"),
            )


def _message(agent: str, content: str, at: str | None, kind: str = "AI_Agent") -> dict[str, Any]:
    return {
        "agent": agent,
        "agent_type": kind,
        "timestamp": at,
        "content": content,
        "raw_data": "",
        "steps": [],
        "next_steps": [],
    }


def thoughts_of(plan: Snapshot) -> str:
    """The text of the thinking process: that of all messages so far, to which streamed pieces are added."""
    return "".join(message.content + ("" if message.streaming else "\n\n") for message in plan.messages)


def result_text(plan: Snapshot) -> str:
    """The result of a completed plan, for people."""
    result = plan.result or {}
    if not result:
        return plan.content or "The plan is completed."
    texts = [value for name in ("result", "response") if isinstance(value := result.get(name), str)]
    return texts[0] if texts else f"```json\n{json.dumps(result, indent=2, ensure_ascii=False)}\n```"


def text_of(value: Any) -> str:
    """An answer, for people."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# -- questions and answers


def question_text(question: InputState) -> str:
    """The question, with the options that it has."""
    options = [f"- {label}" for label, _ in options_of(question)]
    return "\n".join([question.prompt, *options])


def options_of(question: InputState) -> Iterator[tuple[str, Any]]:
    """The label and the value of each option."""
    for option in question.options or ():
        labelled: Mapping[str, Any] = cast("dict[str, Any]", option) if isinstance(option, dict) else {}
        value = labelled.get("value", option)
        yield str(labelled.get("label", text_of(value))), value


def answer_to(question: InputState, text: str) -> Any:
    """The answer that a person typed: the option of that label or value, or what the question's schema requires."""
    wanted = text.strip()
    for label, value in options_of(question):
        if wanted.casefold() in (label.casefold(), text_of(value).casefold()):
            return value
    kind = (question.json_schema or {}).get("type", "string")
    if kind == "string":
        return text
    try:
        return from_json(wanted, allow_inf_nan=False)
    except ValueError:
        return text
