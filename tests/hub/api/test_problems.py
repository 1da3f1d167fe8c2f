"""H-GEN-2: every problem of the HTTP interface is in the protocol's table, with its status."""

from __future__ import annotations

import re
from pathlib import Path

from hub.api.problems import STATUS
from hub.wire.codes import ErrorCode

ROOT = Path(__file__).parents[3]
SOURCES = [path.read_text() for folder in ("api", "transports") for path in (ROOT / "hub" / folder).glob("*.py")]
TABLE = re.compile(r"^  \| (\d{3}) \| (.+) \|$", re.MULTILINE)


def listed() -> dict[str, int]:
    document = (ROOT / "docs" / "PROTOCOL.md").read_text()
    return {
        code: int(status) for status, said in TABLE.findall(document) for code in re.findall(r"`([a-z_0-9]+)`", said)
    }


def test_every_problem_of_the_routes_is_listed() -> None:
    said = {code for source in SOURCES for code in re.findall(r"Problem\(\s*\"([a-z_]+)\"", source)}
    assert {"no_such_plan", "too_large", "log_full"} <= said
    assert said - listed().keys() == set()


def test_every_error_code_has_the_status_that_is_listed() -> None:
    told = listed()
    only_on_the_socket = {ErrorCode.UNKNOWN_TYPE}
    assert {code: told[code] for code in STATUS if code not in only_on_the_socket} == {
        code: status for code, status in STATUS.items() if code not in only_on_the_socket
    }
