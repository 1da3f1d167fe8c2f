"""The process's logging: lines of JSON, or of text on a terminal, with secrets redacted.

Give a record's connection, plan and principal in `extra`, or for all records of a logger with `about`:

    log = about(logging.getLogger(__name__), connection_id=connection_id)
    log.warning("closed: the client read nothing for %.0f s", seconds, extra={"plan_id": plan_id})
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import IO, Any, Final, cast

from broadcasters.events import timestamp
from hub.config.setting_types import Secret
from hub.config.settings import Settings

__all__ = [
    "FIELDS",
    "About",
    "RedactingFormatter",
    "RepetitionFilter",
    "about",
    "json_line",
    "redacted",
    "set_up",
    "text_line",
]

FIELDS: Final = ("connection_id", "plan_id", "principal", "address", "trace_id")
"""The fields that a record may have beside its message."""

REMEMBERED: Final = 512
"""Number of different messages whose repetitions are counted."""

_secrets = re.compile(
    r"(?P<jwt>eyJ[\w-]{5,}(?:\.[\w-]*){0,2})"
    r"|(?P<ticket>pct_[\w.-]+)"
    r"|(?P<bearer>(?i:bearer)\s+)[\w.~+/=-]+"
    r"|(?P<query>(?i:[?&](?:ticket|token|access_token|\w*password)=))[^&\s\"']+"
    r"|(?P<url>\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@\"']*:)[^\s/@\"']+(?=@)"
)


def redacted(line: str, secrets: Iterable[str] = ()) -> str:
    """The line with tokens, tickets, passwords in URLs, and these secrets redacted."""
    for secret in secrets:
        line = line.replace(secret, "[redacted]")
    return _secrets.sub(lambda found: f"{found['bearer'] or found['query'] or found['url'] or ''}[redacted]", line)


def set_up(settings: Settings, stream: IO[str] | None = None) -> None:
    """Configure the process's logging, including uvicorn's loggers (start uvicorn with `log_config=None`).

    For programs only; an application that mounts a hub keeps its own logging.
    """
    stream = stream if stream is not None else cast("IO[str]", sys.stderr)
    as_json = settings.logs == "json" or (settings.logs == "auto" and not stream.isatty())
    handler = logging.StreamHandler(stream)
    secrets = [_text(secret) for secret in (settings.auth_secret, settings.ticket_secret) if secret is not None]
    handler.setFormatter(RedactingFormatter(json_line if as_json else text_line, secrets))
    handler.addFilter(RepetitionFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.logs_level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True
    logging.getLogger("uvicorn.error").addFilter(_is_no_reset)
    for name in ("httpx", "httpcore", "mcp"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they log every request with its URL, or session with its id


def _is_no_reset(record: logging.LogRecord) -> bool:
    """Responses that can't be ended in a way that their client resumes from are cut on purpose (hub.protocols)."""
    return record.msg != "ASGI callable returned without completing response."


def _text(secret: Secret) -> str:
    return secret.reveal().decode(errors="replace")


class About(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds fields to all its records."""

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[object, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def about(logger: logging.Logger, **fields: str) -> About:
    """This logger with these fields (of `FIELDS`) in all records."""
    return About(logger, fields)


class RepetitionFilter(logging.Filter):
    """Limits how often the same warning or error is logged; a later record reports how many were suppressed.

    Records are the same if they have the same logger, unformatted message and type of exception. So ten thousand clients
    with the same fault don't fill the disk, and a new message is logged at once.
    """

    def __init__(self, times: int = 3, seconds: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._times = times
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[tuple[str, str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        exception = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        key, now = (record.name, str(record.msg), exception), self._clock()
        began, count = self._seen.pop(key, (now, 0))
        if now - began >= self._seconds:
            suppressed, began, count = max(0, count - self._times), now, 0
            if suppressed:
                record.msg, record.args = f"{record.getMessage()} ({suppressed:,} more suppressed)", ()
        self._seen[key] = (began, count + 1)
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return count < self._times


class RedactingFormatter(logging.Formatter):
    """Formats a record as one line with `write`, and redacts these secrets."""

    def __init__(self, write: Callable[[logging.LogRecord, str, str, Mapping[str, str]], str], secrets: Iterable[str]):
        super().__init__()
        self._write = write
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        found = {name: getattr(record, name, None) for name in FIELDS}
        fields = {name: self._clean(str(value)) for name, value in found.items() if value is not None}
        return self._write(record, self._clean(record.getMessage()), self._clean(self._details(record)), fields)

    def _details(self, record: logging.LogRecord) -> str:
        traceback = self.formatException(record.exc_info) if record.exc_info else ""
        return "\n".join(filter(None, (traceback, record.stack_info)))

    def _clean(self, text: str) -> str:
        return redacted(text, self._secrets)


def json_line(record: logging.LogRecord, message: str, details: str, fields: Mapping[str, str]) -> str:
    """`{"at", "level", "logger", "message", …fields, "details"?}` in ASCII."""
    line = {"at": _at(record), "level": record.levelname.lower(), "logger": record.name, "message": message, **fields}
    return json.dumps(line | {"details": details} if details else line)


def text_line(record: logging.LogRecord, message: str, details: str, fields: Mapping[str, str]) -> str:
    """`12:00:00 warning hub.core: message (plan_id=plan-1)`, with control characters escaped."""
    shown = ", ".join(f"{name}={value}" for name, value in fields.items())
    line = f"{_at(record)[11:19]} {record.levelname.lower()} {record.name}: {message}" + (
        f" ({shown})" if shown else ""
    )
    return "\n".join([_visible(line), *map(_visible, details.splitlines())])


def _at(record: logging.LogRecord) -> str:
    return timestamp(datetime.fromtimestamp(record.created, UTC))


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
