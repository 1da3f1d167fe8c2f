"""Terminal client for a business request. It uses only the wire format, nothing else of this project.

    python examples/plan_streaming_client.py "Sales by region are uneven"
    python examples/plan_streaming_client.py --watch plan-1      # watch an existing plan

It prints the agents' thoughts, actions and results, and forwards their questions to you. After a broken connection it
resumes from its position.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.request
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.connection import Connection

MARKS = {"thinking": "◌", "action": "▶", "result": "✓", "clarification_needed": "?"}
ENDED = ("completed", "error", "cancelled")
Frame = dict[str, Any]


class Watcher:
    """One plan on one server."""

    def __init__(self, url: str, plan_id: str, answer: str | None) -> None:
        self._socket_url = f"ws{url.rstrip('/').removeprefix('http')}/ws/streaming"
        self._plan_id = plan_id
        self._answer = answer
        self._position: Any = "start"
        self._head = 0
        self._open: dict[str, Frame] = {}

    def watch(self) -> str:
        """Print all events until the plan ends, reconnecting as needed, and return its status."""
        while True:
            try:
                return self._watch_once()
            except (ConnectionClosed, OSError) as error:
                if isinstance(error, ConnectionClosed) and error.rcvd is not None and 4500 <= error.rcvd.code < 4600:
                    raise
                print("… connection lost; reconnecting", flush=True)
                time.sleep(0.5)

    def _watch_once(self) -> str:
        with connect(self._socket_url) as socket:
            subscribe = {"type": "subscribe_plan", "plan_id": self._plan_id, "since": self._position}
            socket.send(json.dumps(subscribe))
            for text in socket:
                frame: Frame = json.loads(text)
                if (ended := self._take(socket, frame)) is not None:
                    return ended
        raise ConnectionResetError("the server closed the connection before the end")

    def _take(self, socket: Connection, frame: Frame) -> str | None:
        self._head = frame.get("head", self._head)
        if "offset" not in frame or "data" not in frame:
            return None
        data: Frame = frame["data"]
        self._position = {"epoch": frame["epoch"], "offset": frame["offset"]}
        show(frame["type"], data)
        if frame["type"] == "input_request":
            self._open[data["request_id"]] = data
        elif frame["type"] == "input_response":
            self._open.pop(data["request_id"], None)
        while self._open and frame["offset"] >= self._head:  # before the head, the answer may still follow
            self._reply(socket, self._open.popitem()[1])
        ends = frame["type"] == "plan_update" and not data.get("step_id") and data["status"] in ENDED
        return str(data["status"]) if ends else None

    def _reply(self, socket: Connection, question: Frame) -> None:
        answer = self._answer or input(f"{question['prompt']} {question.get('options') or ''} ")
        frame = {"type": "plan_input", "plan_id": self._plan_id, "request_id": question["request_id"], "answer": answer}
        socket.send(json.dumps(frame))


def show(kind: str, data: Frame) -> None:
    match kind:
        case "plan_update":
            print(f"■ {data['status']}: {data.get('title') or data.get('content') or ''}", flush=True)
        case "step_update":
            tried = f" (attempt {data['attempt']} of {data['max_attempts']})" if data.get("attempt", 1) > 1 else ""
            print(f"  {data['step_id']}: {data['status']}{tried}", flush=True)
        case "agent_message" if not data.get("append"):
            print(f"    {MARKS[data['message_type']]} {data['agent_name']}: {data['content']}", flush=True)
        case "agent_message":
            print(data["content"], end="\n" if data.get("final") else "", flush=True)
        case "input_request":
            print(f"  ? {data['prompt']}", flush=True)
        case "input_response":
            print(f"  ↳ {data['answer']} ({data.get('by') or 'unknown'})", flush=True)
        case _:
            print(f"    · {kind} {data.get('name') or data.get('tool_name') or ''}", flush=True)


def start(url: str, request: str) -> str:
    """Start a plan and return its id."""
    body = json.dumps({"template": "business_operations", "input": {"request": request}}).encode()
    post = urllib.request.Request(f"{url.rstrip('/')}/api/plans", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(post, timeout=60) as answer:
        return str(json.load(answer)["plan_id"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Start a business request and watch its plan.")
    parser.add_argument("request", nargs="?", default="Sales by region are uneven")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--watch", metavar="PLAN", help="watch this plan instead of starting one")
    parser.add_argument("--answer", help="answer every question with this text instead of prompting")
    args = parser.parse_args()
    try:
        plan_id = args.watch or start(args.url, args.request)
        print(f"Started plan {plan_id}", flush=True)
        return 0 if Watcher(args.url, plan_id, args.answer).watch() == "completed" else 1
    except (OSError, InvalidStatus, ConnectionClosed) as error:
        print(f"request to {args.url} failed: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
