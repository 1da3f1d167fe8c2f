"""The tables and examples of docs/PROTOCOL.md agree with the code."""

from __future__ import annotations

import json
import re

import pytest

from broadcasters.events import EVENTS
from hub.wire.codec import decode
from hub.wire.schemas import SnapshotFrame, event_frame
from hub.wire.server_frames import SERVER_FRAMES
from tests.hub.protocol_tables import DOCUMENT, TABLES, with_tables

TEXT = DOCUMENT.read_text()
EXAMPLES = [
    line for block in re.findall(r"^```wire\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]


def test_the_tables_are_up_to_date() -> None:
    assert with_tables(TEXT) == TEXT, "run: python -m tests.hub.protocol_tables"
    assert set(re.findall(r"<!-- table: (\S+) -->", TEXT)) == set(TABLES)


def test_there_are_examples_of_both_sides() -> None:
    assert {line[:3] for line in EXAMPLES} == {"C: ", "S: "}


@pytest.mark.parametrize("line", EXAMPLES)
def test_the_examples_are_frames(line: str) -> None:
    if line.startswith("C: "):
        assert decode(line[3:]).type in line
        return
    said = json.loads(line[3:])
    model = SERVER_FRAMES.get(said["type"])
    if said["type"] in EVENTS:
        model_of_event = event_frame(said["type"], EVENTS[said["type"]])
        assert model_of_event.model_validate(said).model_dump(exclude_unset=True) == said
    elif model is None:
        assert SnapshotFrame.model_validate(said).model_dump(exclude_unset=True) == said
    else:
        assert json.loads(model.model_validate(said).encode()) == said
