"""What a client may throw at a session, as a target for atheris: `python -m tests.fuzz.fuzz_wire -max_total_time=60`.

atheris is no dependency of the project; install it where you fuzz. The same target runs under hypothesis every day.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from broadcasters.position import Position
from hub.config.limits import SessionLimits
from hub.core.effects import CheckToken, Close, Confirm, Effect, Join, Leave, Send, SendSignal, SubmitAnswer
from hub.core.session import Session
from hub.wire.server_frames import SERVER_FRAMES
from tests.hub.core.session_kit import NOW, input_accepted, person, placed, signal_accepted
from tests.hub.vectors import CASES

__all__ = ["seed", "talk"]

LIMITS = SessionLimits(frames_burst=10_000, bytes_burst=10_000_000)


def talk(data: bytes) -> None:
    """A client says these lines, one after the other; a line that is no UTF-8 comes as a binary frame."""
    session = Session("fuzz", LIMITS, person() if data[:1] < b"\x80" else None, NOW)
    carry_out(session, session.begin("2026-01-31T12:00:00.000Z", 25))
    for line in data.split(b"\n"):
        try:
            frame: str | bytes = line.decode()
        except UnicodeDecodeError:
            frame = line
        carry_out(session, session.receive(frame, NOW))


def carry_out(session: Session, effects: list[Effect]) -> None:
    """Do what is asked, at once; what is sent must be frames."""
    for effect in effects:
        match effect:
            case Send(frame):
                said = json.loads(frame.encode())
                SERVER_FRAMES[said["type"]].model_validate(said)
            case Join(plan_id) | Confirm(plan_id):
                carry_out(session, placed(session, plan_id, Position("e", 1), 1))
            case CheckToken():
                carry_out(session, session.authenticated(person(), NOW))
            case SubmitAnswer():
                json.dumps(effect.answer, allow_nan=False).encode()
                carry_out(session, input_accepted(session, effect))
            case SendSignal():
                carry_out(session, signal_accepted(session, effect))
            case Leave() | Close():
                pass


def seed(folder: Path) -> None:
    """What the vectors say, one file a case: a fuzzer finds no frames by chance."""
    for number, case in enumerate(CASES):
        said = [json.dumps(step["send"]) for step in case.steps if "send" in step]
        (folder / str(number)).write_text("\n".join(said))


def main() -> None:
    atheris = importlib.import_module("atheris")
    atheris.instrument_all()
    with TemporaryDirectory() as folder:
        seed(Path(folder))
        atheris.Setup([*sys.argv, folder], talk)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
