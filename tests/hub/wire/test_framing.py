"""What is put on the line is read back by websockets' own protocol."""

from __future__ import annotations

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from hub.wire.frames import text_frames


def received(wire: bytes) -> list[bytes]:
    """The messages that a client of websockets reads from these bytes."""
    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=None)
    client.receive_data(wire)
    return [bytes(event.data) for event in client.events_received() if isinstance(event, Frame)]


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, 300_000])
def test_lengths_around_each_border(length: int) -> None:
    message = b"x" * length
    assert text_frames([message]) == Frame(Opcode.TEXT, message).serialize(mask=False)


def test_many_messages_are_one_behind_the_other() -> None:
    messages = [b"a", b"", b"b" * 200, b"c" * 70_000]
    assert text_frames(messages) == b"".join(text_frames([message]) for message in messages)
    assert received(text_frames(messages)) == messages
    assert text_frames([]) == b""
