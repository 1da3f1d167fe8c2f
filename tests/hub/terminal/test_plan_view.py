"""A plan as shown in a terminal."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from broadcasters.events import EVENTS, PlanEvent, build
from hub.terminal import Look
from hub.terminal.plan_view import PlanView

MOMENT = "2026-01-31T12:00:00.000Z"
PERSON = Look(colour=True, live=True, width=80)
SCREEN = Look(live=True, width=80)
PIPE = Look()


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def event(event_type: str, **fields: Any) -> PlanEvent:
    return build(EVENTS[event_type], {"plan_id": "p", "timestamp": MOMENT, **fields})


def said(agent: str, content: str, **more: Any) -> PlanEvent:
    return event("agent_message", agent_name=agent, content=content, **more)


def part(message_id: str, content: str, agent: str = "Ana", **more: Any) -> PlanEvent:
    return said(agent, content, message_id=message_id, append=True, **more)


def shown(look: Look, *events: PlanEvent, finish: bool = True) -> str:
    out = io.StringIO()
    view = PlanView(out, look)
    for each in events:
        view.show(each)
    if finish:
        view.finish()
    return out.getvalue()


def test_a_message_is_a_line_with_time_name_and_kind() -> None:
    assert shown(PIPE, said("Data Analyst", "Looking.")) == "12:00:00 Data Analyst     ◌ Looking.\n"
    assert shown(PIPE, said("Data Analyst", "Go.", message_type="result")) == "12:00:00 Data Analyst     ● Go.\n"


def test_a_plan_update_shows_its_status() -> None:
    lines = shown(PIPE, event("plan_update", title="Autumn"), event("plan_update", status="completed", progress=100))
    assert lines.splitlines() == [
        "12:00:00 plan             ▶ in progress: Autumn",
        "12:00:00 plan             ✓ completed  ██████████ 100 %",
    ]


def test_a_step_is_shown_with_its_title_once_it_is_known() -> None:
    lines = shown(
        PIPE,
        event("step_update", step_id="s1", status="in_progress", title="Collect"),
        event("step_update", step_id="s1", status="retrying", attempt=2, max_attempts=3),
        event("step_update", step_id="s1", status="in_progress", progress=60),
        event("step_update", step_id="s1", status="completed", timestamp="2026-01-31T12:00:03.200Z"),
    )
    assert [line[17:].strip() for line in lines.splitlines()] == [
        "▶ Collect",
        "↻ Collect (attempt 2 of 3)",
        "▶ Collect  ██████░░░░ 60 %",
        "✓ Collect (3.2 s)",
    ]


def test_tools_questions_answers_and_artifacts_are_shown() -> None:
    call = {"agent_name": "Ana", "call_id": "c", "tool_name": "sql"}
    lines = shown(
        PIPE,
        event("tool_call", **call, phase="started", arguments={"q": 1}),
        event("tool_call", **call, phase="completed", result=[1, 2]),
        event("tool_call", **call, phase="error"),
        event("input_request", request_id="r", kind="approval", prompt="Send?", options=["yes", "no"]),
        event("input_response", request_id="r", answer="yes", by="maria"),
        event("artifact", artifact_id="a", name="offer.pdf", mime_type="application/pdf", url="https://x/offer.pdf"),
    )
    assert [re.sub(r" {2,}", " ", line[9:]) for line in lines.splitlines()] == [
        'Ana ⚒ sql {"q": 1}',
        "Ana ⚒ sql → [1, 2]",
        "Ana ✗ sql → error",
        "plan ? approval needed: Send? [yes | no]",
        "answer ↳ yes, says maria",
        "made ◆ offer.pdf (application/pdf) https://x/offer.pdf",
    ]


def test_a_streamed_message_grows_on_a_terminal() -> None:
    begun = shown(SCREEN, part("m", "Look"), part("m", "ing at "), finish=False)
    assert begun.endswith("◌ Looking at")
    whole = shown(SCREEN, part("m", "Look"), part("m", "ing at "), part("m", "it.", final=True))
    assert whole == "12:00:00 Ana              ◌ Looking at it.\n"


def test_a_streamed_message_is_one_line_in_a_pipe() -> None:
    assert shown(PIPE, part("m", "Look"), part("m", "ing"), finish=False) == ""
    assert shown(PIPE, part("m", "Look"), part("m", "ing.", final=True)).count("\n") == 1
    assert shown(PIPE, part("m", "Look"), part("m", "ing")) == "12:00:00 Ana              ◌ Looking\n"


def test_two_streamed_messages_are_not_interleaved() -> None:
    lines = shown(
        SCREEN,
        part("a", "One "),
        part("b", "Three ", agent="Ben"),
        part("a", "two."),
        part("b", "four.", agent="Ben"),
        part("a", "", final=True),
        part("b", "", agent="Ben", final=True),
    )
    assert [line[26:] for line in lines.splitlines()] == ["◌ One two.", "◌ Three four."]


def test_an_interrupted_message_continues_on_its_own_line() -> None:
    lines = shown(
        SCREEN,
        part("a", "One "),
        event("step_update", step_id="s", status="in_progress"),
        part("a", "two.", final=True),
    )
    assert [line[9:] for line in lines.splitlines()] == [
        "Ana              ◌ One",
        "step             ▶ s",
        "Ana              ◌ … two.",
    ]


def test_the_error_of_a_streamed_message_is_shown() -> None:
    lines = shown(SCREEN, part("a", "One "), part("a", "", final=True, error="the agent failed: KeyError"))
    assert [line[26:] for line in lines.splitlines()] == ["◌ One", "✗ the agent failed: KeyError"]


def test_a_whole_message_replaces_its_parts() -> None:
    lines = shown(PIPE, part("m", "Dra"), said("Ana", "Final words.", message_id="m"))
    assert [line[26:] for line in lines.splitlines()] == ["◌ Final words."]


def test_an_endless_message_is_written_in_parts() -> None:
    written = shown(PIPE, *(part("m", "word " * 1000) for _ in range(20)), finish=False)
    assert 64_000 < len(written) < 100_000


def test_text_stays_right_of_its_column() -> None:
    text = "word " * 40 + "\n" + "unbroken" * 20
    for look in (SCREEN, PERSON):
        lines = re.sub(r"\x1b\[[0-9;]*m", "", shown(look, said("Ana", text))).splitlines()
        assert len(lines) > 4
        assert all(len(line) <= 80 for line in lines)
        assert all(line.startswith(" " * 28) for line in lines[1:])
        assert "".join(line[28:].replace(" ", "") for line in lines) == text.replace(" ", "").replace("\n", "")


def test_wide_characters_count_twice() -> None:
    lines = shown(SCREEN, said("分析", "数据" * 60)).splitlines()
    assert lines[0].startswith("12:00:00 分析             ◌ ")
    assert all(len(line[28:]) <= 26 for line in lines[1:])
    assert len(lines) >= 4


def test_agents_cannot_send_control_characters() -> None:
    evil = "a\x1b[2Jb\x07c\rd\x9b31me\u202ef\x7f"
    text = shown(
        PIPE,
        said(evil, evil),
        event("plan_update", title=evil),
        event("artifact", artifact_id="a", name=evil, mime_type=evil),
    )
    assert not set("\x1b\x07\r\x9b\u202e\x7f") & set(text)
    assert "a[2Jbcd31mef" in text


def test_an_agents_name_cannot_make_lines() -> None:
    assert shown(PIPE, said("Ana\n12:00:00 Ben", "Hi.")).count("\n") == 1


def test_an_agent_keeps_its_colour() -> None:
    one = shown(PERSON, said("Ana", "1"), said("Ben", "2"), said("Ana", "3")).splitlines()
    colour = [re.findall(r"\x1b\[(38;5;\d+)m", line) for line in one]
    assert colour[0] == colour[2] != colour[1]
    assert "\x1b" not in shown(SCREEN, said("Ana", "1"))


def test_colour_always_ends_with_its_line() -> None:
    for line in shown(PERSON, said("Ana", "1"), event("plan_update", status="error", progress=3)).splitlines():
        assert line.rindex("\x1b[0m") == max(match.start() for match in re.finditer("\x1b", line))


def test_an_old_terminal_gets_ascii() -> None:
    class Latin(io.StringIO):
        encoding = "ascii"

    look = Look.of(Latin())
    assert not look.marks
    lines = shown(look, said("Ana", "Hi."), event("step_update", step_id="s", status="completed", progress=50))
    assert lines.isascii()
    assert "x s" not in lines
    assert "+ s  #####----- 50 %" in lines


def test_no_colour_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Look.of(Terminal()).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Look.of(Terminal()).colour
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not Look.of(Terminal()).colour
    assert not Look.of(io.StringIO()).colour


def test_notes_have_their_own_lines() -> None:
    out = io.StringIO()
    view = PlanView(out, SCREEN)
    view.show(part("m", "One "))
    view.note("reconnected")
    view.finish()
    assert out.getvalue().splitlines()[-1] == "- reconnected"
