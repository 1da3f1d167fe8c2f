"""Fuzz target for client frames, for atheris: `python -m tests.fuzz.fuzz_wire -max_total_time=60`.

atheris is not a dependency of the project; install it where you fuzz. test_fuzz_wire.py runs the target with hypothesis.
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

__all__ = ["run_session", "write_seeds"]

LIMITS = SessionLimits(frames_burst=10_000, bytes_burst=10_000_000)


def run_session(data: bytes) -> None:
    """Feeds each line to a session as a client frame; a line that is not UTF-8 becomes a binary frame."""
    session = Session("fuzz", LIMITS, person() if data[:1] < b"\x80" else None, NOW)
    apply(session, session.begin("2026-01-31T12:00:00.000Z", 25))
    for line in data.split(b"\n"):
        try:
            frame: str | bytes = line.decode()
        except UnicodeDecodeError:
            frame = line
        apply(session, session.receive(frame, NOW))


def apply(session: Session, effects: list[Effect]) -> None:
    """Applies the effects at once; whatever is sent must be a valid server frame."""
    for effect in effects:
        match effect:
            case Send(frame):
                message = json.loads(frame.encode())
                SERVER_FRAMES[message["type"]].model_validate(message)
            case Join(plan_id) | Confirm(plan_id):
                apply(session, placed(session, plan_id, Position("e", 1), 1))
            case CheckToken():
                apply(session, session.authenticated(person(), NOW))
            case SubmitAnswer():
                json.dumps(effect.answer, allow_nan=False).encode()
                apply(session, input_accepted(session, effect))
            case SendSignal():
                apply(session, signal_accepted(session, effect))
            case Leave() | Close():
                pass


def write_seeds(folder: Path) -> None:
    """Writes the client frames of the vectors, one file per case: a fuzzer does not find frames by chance."""
    for number, case in enumerate(CASES):
        frames = [json.dumps(step["send"]) for step in case.steps if "send" in step]
        (folder / str(number)).write_text("\n".join(frames))


def main() -> None:
    atheris = importlib.import_module("atheris")
    atheris.instrument_all()
    with TemporaryDirectory() as folder:
        write_seeds(Path(folder))
        atheris.Setup([*sys.argv, folder], run_session)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
