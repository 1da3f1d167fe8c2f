"""Questions to the shop's data in the terminal: a client that knows nothing of this project but the wire format.

    python examples/data_query_client.py                                  # tries the line, and asks one question
    python examples/data_query_client.py "Who are our best customers?" "sales by month" --user ada
    python examples/data_query_client.py --history --user ada

A line that breaks in the middle of an answer is taken up again (`?resume=1`).
"""

from __future__ import annotations

import argparse
import json
import time
import urllib.request
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection

Data = dict[str, Any]
LOOK = {"started": "🚀 Started", "progress": "⏳ Progress", "completed": "✅ Completed", "error": "❌ Error"}


class Shop:
    """One user's session on one server."""

    def __init__(self, url: str, user: str, session: str, token: str | None = None) -> None:
        self._url, self._user = url.rstrip("/"), user
        self._path = f"/ws/{quote(user, safe='')}/{quote(session, safe='')}"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._seen: set[str] = set()
        self._started = False

    def ping(self) -> None:
        """Is anybody there?"""
        with self._line() as line:
            line.send(json.dumps({"type": "ping"}))
            print("📤 Sent ping", flush=True)
            while json.loads(line.recv(30))["type"] != "pong":
                pass
            print("✓ Received pong: the line is alive", flush=True)

    def ask(self, query: str, conversation: str) -> str:
        """The answer; everything on the way to it is shown."""
        print(f"📤 {query}", flush=True)
        question = json.dumps({"type": "query", "query": query, "conversation_id": conversation})
        self._started = False
        while True:
            try:
                with self._line("?resume=1" if self._started else "") as line:
                    if not self._started:
                        line.send(question)
                    return self._answer(line)
            except (ConnectionClosed, ConnectionError) as error:
                if isinstance(error, ConnectionClosed) and error.rcvd is not None and 4500 <= error.rcvd.code < 4600:
                    raise
                print("… the line broke; coming back", flush=True)
                time.sleep(0.5)

    def _line(self, how: str = "") -> ClientConnection:
        return connect(f"ws{self._url.removeprefix('http')}{self._path}{how}", additional_headers=self._headers)

    def _answer(self, line: Connection) -> str:
        for text in line:
            frame = json.loads(text)
            if text not in self._seen:
                self._seen.add(str(text))
                show(frame["type"], frame["data"])
            self._started = self._started or frame["type"] == "started"
            if frame["type"] == "completed":
                return str(frame["data"]["response"])
            if frame["type"] == "error":
                raise SystemExit(1)
        raise ConnectionResetError("the server closed the line before the end")

    def history(self) -> None:
        """Print all conversations, the newest first, each with its messages."""
        whose = f"/conversations/{quote(self._user, safe='')}"
        for conversation in self._get(whose)["conversations"]:
            name = conversation["conversation_id"]
            print(f"📁 {name}, {conversation['message_count']} messages: {conversation['preview']}", flush=True)
            for message in self._get(f"{whose}/{quote(name, safe='')}/messages")["messages"]:
                print(f"   {message['role']}: {message['content']}", flush=True)

    def _get(self, path: str) -> Data:
        asked = urllib.request.Request(self._url + path, None, self._headers)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            found: Data = json.load(answer)
            return found


def show(kind: str, data: Data) -> None:
    percent = f" [{data['progress']}%]" if kind == "progress" else ""
    print(f"{LOOK.get(kind, kind)}{percent}: {data.get('message', '')}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("queries", nargs="*", default=["Show me our top 5 products"])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--user", default="test_user")
    parser.add_argument("--session", default=f"session-{uuid4().hex[:8]}")
    parser.add_argument("--conversation", help="go on with this one; otherwise it is the session's own")
    parser.add_argument("--history", action="store_true", help="show what was asked and answered before")
    parser.add_argument("--token", help="for a hub that asks who you are")
    args = parser.parse_args()
    shop = Shop(args.url, args.user, args.session, args.token)
    try:
        if args.history:
            shop.history()
            return
        shop.ping()
        for query in args.queries:
            print(f"\n📊 Response:\n{shop.ask(query, args.conversation or args.session)}\n", flush=True)
    except (ConnectionClosed, InvalidStatus, OSError) as error:
        raise SystemExit(f"{args.url} did not let us ask: {error}") from None


if __name__ == "__main__":
    main()
