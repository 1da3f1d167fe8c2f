"""Terminal client for the insight chat dialect. It uses only the wire format, nothing else of this project.

    python examples/insight_chat_client.py "How warm is Lisbon in May?" [--poll]

It starts a task and reads its stream, or with --poll requests the status twice a second, as the original page did.
"""

from __future__ import annotations

import argparse
import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError, URLError

Status = dict[str, Any]


class Chat:
    """One hub's chat. Prints each message once, however often it is received."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._shown: set[str] = set()

    def start(self, message: str) -> str:
        """Start a task and return its id."""
        body = json.dumps({"action": "continue_conversation", "message": message}).encode()
        with self._open("/api/chat", body, {"Content-Type": "application/json"}) as answer:
            return str(json.load(answer)["task_id"])

    def polled(self, task_id: str) -> Iterator[Status]:
        """Yield the status twice a second."""
        while True:
            with self._open(f"/api/chat/status/{task_id}") as answer:
                yield json.load(answer)
            time.sleep(0.5)

    def streamed(self, task_id: str) -> Iterator[Status]:
        """Yield statuses from the stream; after a broken connection, resume after the last one."""
        last: dict[str, str] = {}
        while True:
            try:
                with self._open(f"/api/chat/stream?task_id={task_id}", None, last) as lines:
                    for line in lines:
                        name, _, value = line.decode().rstrip("\n").partition(": ")
                        if name == "id":
                            last = {"Last-Event-ID": value}
                        elif name == "data":
                            yield json.loads(value)
            except (ConnectionError, TimeoutError, URLError) as error:
                if isinstance(error, HTTPError):
                    raise
                time.sleep(0.5)

    def show(self, statuses: Iterator[Status]) -> Status:
        """Print each message once until the task ends, and return its last status."""
        for status in statuses:
            for message in status["messages"]:
                if message["id"] not in self._shown:
                    self._shown.add(message["id"])
                    print(f"[{message['type']}] {message['content']}", flush=True)
            if status["status"] != "processing":
                return status
        raise AssertionError("the stream of statuses has no end")

    def _open(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
        request = urllib.request.Request(self._url + path, body, self._headers | (headers or {}))
        return urllib.request.urlopen(request, timeout=60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("message")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--poll", action="store_true", help="poll the status instead of reading the stream")
    parser.add_argument("--token", help="token, for a hub with authentication")
    args = parser.parse_args()
    chat = Chat(args.url, args.token)
    task_id = chat.start(args.message)
    status = chat.show(chat.polled(task_id) if args.poll else chat.streamed(task_id))
    print(f"error: {status['error']}" if status["status"] == "error" else "done", flush=True)


if __name__ == "__main__":
    main()
