"""Terminal client for the trip chat dialect (`/ws/chat`). It uses only the wire format, nothing else of this project.

    python examples/trip_client.py "plan a 3 day trip to Tokyo and Kyoto" ["no museums, please" …]

Each further message continues from the result of the one before. A broken connection is resumed; Ctrl-C cancels.
"""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Callable, Mapping
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.connection import Connection

Frame = dict[str, Any]


class Trip:
    """The client's state, and the position in the current answer."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self.state: dict[str, list[Frame]] = {"pois": [], "requirements": [], "plan": []}
        self.plan_id: str | None = None
        self.place: str | None = None
        self._show = show

    def request(self, message: str) -> Frame:
        """The first frame to send: the message, or a resume after a broken connection."""
        if self.plan_id is not None:
            return {"type": "resume", "plan_id": self.plan_id, "place": self.place}
        return {"message": message, **self.state}

    def take(self, frame: Frame) -> bool:
        """Apply a frame. Returns True if it was the last one of the answer."""
        self.plan_id = frame.get("plan_id", self.plan_id)
        self.place = frame.get("place", self.place)
        kind = frame["type"]
        if kind in self.state:
            self.state[kind] = frame["data"]
        if (text_of := _TEXTS.get(kind)) is not None:
            self._show(text_of(frame))
        last = kind in ("done", "error")
        if last:
            self.plan_id = self.place = None
        return last


def _days(frame: Frame) -> str:
    lines = ["plan:"]
    for option in frame["data"][:1]:
        lines.append(f"  {option['title']}")
        for day in option["days"]:
            stops = ", ".join(f"{stop['start']} {stop['name']}" for stop in day["stops"])
            lines.append(f"    day {day['day']}, {day['title']}: {stops}")
    return "\n".join(lines)


_TEXTS: Mapping[str, Callable[[Frame], str]] = {
    "intents": lambda frame: "wanted: " + "; ".join(f"{i['action']} {i['intent']} {i['value']}" for i in frame["data"]),
    "progress": lambda frame: f"{frame['percent']:3} %",
    "poi": lambda frame: f"  found {frame['data']['name']}, {frame['data']['city']}",
    "pois": lambda frame: f"places: {len(frame['data'])}",
    "requirements": lambda frame: "keeping in mind: " + ", ".join(r["description"] for r in frame["data"]),
    "plan": _days,
    "done": lambda _: "done",
    "error": lambda frame: f"error: {frame['message']}",
}


def converse(url: str, trip: Trip, message: str, token: str | None) -> None:
    """Send one message and print its answer, reconnecting as needed."""
    headers = {"Authorization": f"Bearer {token}"} if token else None
    while True:
        with connect(url, additional_headers=headers) as connection:
            signal.signal(signal.SIGINT, lambda *_: connection.send(json.dumps({"type": "cancel"})))
            connection.send(json.dumps(trip.request(message)))
            if _listen(connection, trip):
                return
        print("(connection lost; resuming)")


def _listen(connection: Connection, trip: Trip) -> bool:
    try:
        while not trip.take(json.loads(connection.recv())):
            pass
    except ConnectionClosed as closed:
        if closed.rcvd is not None and 4500 <= closed.rcvd.code < 4600:
            raise SystemExit(f"refused: {closed.rcvd.reason}") from None
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("messages", nargs="+")
    parser.add_argument("--url", default="ws://127.0.0.1:8000/ws/chat")
    parser.add_argument("--token", help="token, for a hub with authentication")
    args = parser.parse_args()
    trip = Trip(lambda text: print(text, flush=True))
    for message in args.messages:
        print(f"> {message}", flush=True)
        converse(args.url, trip, message, args.token)


if __name__ == "__main__":
    main()
