"""Log lines for machines and people, with secrets redacted."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.access.principal import Grants, Principal
from hub.access.tickets import Tickets
from hub.config.settings import load
from hub.telemetry.logs import FIELDS, RepetitionFilter, about, redacted, set_up
from tests.hub.tokens import CLAIMS, NOW, SECRET, token

LOGGERS = ("", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "httpx", "httpcore", "mcp")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Logging is global to the process: restored after each test."""
    kept = [(one, one.handlers[:], one.level, one.propagate) for one in map(logging.getLogger, LOGGERS)]
    yield
    for one, handlers, level, propagate in kept:
        one.handlers[:], one.propagate = handlers, propagate
        one.setLevel(level)


def logged(stream: io.StringIO | None = None, **more: str) -> io.StringIO:
    stream = stream or io.StringIO()
    set_up(load({f"PLANCAST_{name}": value for name, value in more.items()}), stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_a_line_of_json_with_its_fields() -> None:
    stream = logged()
    log = about(logging.getLogger("hub.test"), connection_id="c1", principal="ada")
    log.warning("closed after %d s", 30, extra={"plan_id": "plan-1"})
    (line,) = lines(stream)
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "hub.test",
        "message": "closed after 30 s",
        "connection_id": "c1",
        "plan_id": "plan-1",
        "principal": "ada",
    }


def test_a_terminal_gets_text() -> None:
    stream = logged(Terminal())
    logging.getLogger("hub.test").info("listening", extra={"plan_id": "plan-1"})
    assert stream.getvalue()[8:] == " info hub.test: listening (plan_id=plan-1)\n"


def test_the_setting_overrides_the_kind_of_stream() -> None:
    json_on_a_terminal = logged(Terminal(), LOGS="json")
    logging.getLogger("hub.test").info("one")
    assert lines(json_on_a_terminal)[0]["message"] == "one"
    text_in_a_file = logged(LOGS="text", LOGS_LEVEL="warning")
    logging.getLogger("hub.test").info("two")
    logging.getLogger("hub.test").warning("three")
    assert text_in_a_file.getvalue().endswith("warning hub.test: three\n")
    assert "two" not in text_in_a_file.getvalue()


def test_uvicorn_logs_in_the_same_format_and_once() -> None:
    before = io.StringIO()
    for name in LOGGERS[1:5]:
        logging.getLogger(name).addHandler(logging.StreamHandler(before))
    stream = logged()
    for name in LOGGERS[1:5]:
        logging.getLogger(name).info("from %s", name)
    assert [line["message"] for line in lines(stream)] == [f"from {name}" for name in LOGGERS[1:5]]
    assert before.getvalue() == ""


def test_an_exception_is_logged_with_its_traceback() -> None:
    stream = logged()
    try:
        raise ValueError(f"bad {token(CLAIMS)}")
    except ValueError:
        logging.getLogger("hub.test").exception("it failed")
    (line,) = lines(stream)
    assert line["message"] == "it failed"
    assert line["details"].endswith("ValueError: bad [redacted]")


# -- secrets ---------------------------------------------------------------------------------------------------------

TOKEN = token(CLAIMS)
TICKET = Tickets(b"k" * 32, None).issue(Principal("ada", Grants.parse({})), NOW).ticket  # type: ignore[arg-type]


@pytest.mark.parametrize("logs", ["json", "text"])
def test_no_token_ticket_password_or_secret_is_ever_in_the_logs(logs: str) -> None:
    ticket_secret = "another secret of at least thirty-two bytes \N{SNOWMAN}"
    stream = logged(AUTH_SECRET=SECRET, TICKET_SECRET=ticket_secret, LOGS=logs, LOGS_LEVEL="debug")
    log = logging.getLogger("hub.test")
    for secret in (TOKEN, TICKET, SECRET, ticket_secret, "swordfish", "0paque/To.ken+x="):
        path = f"/api/stream?plan=a&ticket={secret}&token={secret}" if " " not in secret else secret
        said = {"swordfish": "redis://u:swordfish@10.0.0.1:6379/0", "0paque/To.ken+x=": "Bearer 0paque/To.ken+x="}
        text = said.get(secret, secret)
        log.info("no answer from redis+sentinel://h/n?ttl=9&sentinel_password=%s&ca=x", secret)
        log.info("plain %s", text)
        log.info("in an argument's repr: %r", {"authorization": text, "other": [text]})
        log.warning(f"formatted {text}", extra=dict.fromkeys(FIELDS, text))
        logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "1.2.3.4:5", "GET", path, "1.1", 200)
        try:
            raise RuntimeError(text)
        except RuntimeError:
            log.exception("raised")
    told = stream.getvalue()
    assert told.count("[redacted]") > 30
    for secret in (TOKEN, TICKET, SECRET, ticket_secret, "swordfish", "0paque"):
        assert secret not in told
    for part in (*TOKEN.split("."), *TICKET.removeprefix("pct_").split(".")):
        assert part not in told


@pytest.mark.parametrize(
    "line",
    [
        "plan team-a.7 stands at 5 of 7",
        "GET /api/plans/plan-1/events?after=5&epoch=abc HTTP/1.1",
        "redis://10.0.0.1:6379/0 does not answer",
        "listening on http://127.0.0.1:8000",
        "the token expired; fetch a new one",
    ],
)
def test_other_text_is_not_redacted(line: str) -> None:
    assert redacted(line) == line


@given(st.text())
def test_control_characters_are_escaped(said: str) -> None:
    stream = logged(LOGS="text")
    logging.getLogger("hub.test").info("%s", said, extra={"principal": said})
    told = stream.getvalue()
    assert told.count("\n") == 1
    assert told.removesuffix("\n").isprintable()


@given(st.text(), st.text())
def test_every_record_is_one_line_of_json(said: str, plan_id: str) -> None:
    stream = logged()
    logging.getLogger("hub.test").info("%s", said, extra={"plan_id": plan_id})
    (line,) = lines(stream)
    assert line["message"] == redacted(said)


# -- repetition ------------------------------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def record(message: str, *args: object, level: int = logging.WARNING, name: str = "hub") -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, message, args, None)


def test_the_same_warning_is_logged_a_few_times_and_then_counted() -> None:
    clock = Clock()
    sparing = RepetitionFilter(times=3, seconds=10, clock=clock)
    assert [sparing.filter(record("plan %s", n)) for n in range(103)] == [True] * 3 + [False] * 100
    clock.now = 10
    told = record("plan %s", "p")
    assert sparing.filter(told)
    assert told.getMessage() == "plan p (100 more suppressed)"
    again = record("plan %s", "p")
    assert sparing.filter(again)
    assert again.getMessage() == "plan p"


def test_other_warnings_and_lower_levels_are_not_suppressed() -> None:
    sparing = RepetitionFilter(times=1, seconds=10, clock=Clock())
    assert sparing.filter(record("a"))
    assert not sparing.filter(record("a"))
    assert sparing.filter(record("b"))
    assert sparing.filter(record("a", name="hub.other"))
    assert all(sparing.filter(record("c", level=logging.INFO)) for _ in range(5))


def test_the_same_message_with_another_type_of_exception_is_logged() -> None:
    sparing = RepetitionFilter(times=1, seconds=10, clock=Clock())
    for error in (ValueError(), KeyError()):
        told = record("failed", level=logging.ERROR)
        told.exc_info = (type(error), error, None)
        assert sparing.filter(told)
        assert not sparing.filter(told)


def test_different_warnings_do_not_fill_the_memory() -> None:
    sparing = RepetitionFilter(clock=Clock())
    assert all(sparing.filter(record(f"warning {n}")) for n in range(10_000))
    assert len(sparing._seen) <= 512


@pytest.mark.parametrize("part", ["eyJ", "a.", "a://", "a://b:", "bearer ", "?ticket=", "pct_"])
def test_no_line_takes_long_to_redact(part: str) -> None:
    """Clients choose parts of lines, such as a path, and all clients wait while a line is written."""
    before = time.process_time()
    redacted(part * (64 * 1024 // len(part)))
    assert time.process_time() - before < 0.5
