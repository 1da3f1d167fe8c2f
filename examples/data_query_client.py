"""Terminal client for the data query dialect. It uses only the wire format, nothing else of this project.

    python examples/data_query_client.py                                  # tests the connection and sends one question
    python examples/data_query_client.py "Who are our best customers?" "sales by month" --user ada
    python examples/data_query_client.py --history --user ada

If the connection breaks during an answer, the client reconnects and resumes (`?resume=1`).
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
        """Test the connection."""
        with self._connect() as connection:
            connection.send(json.dumps({"type": "ping"}))
            print("📤 Sent ping", flush=True)
            while json.loads(connection.recv(30))["type"] != "pong":
                pass
            print("✓ Received pong", flush=True)

    def ask(self, query: str, conversation: str) -> str:
        """Send a question, print its progress, and return the answer."""
        print(f"📤 {query}", flush=True)
        question = json.dumps({"type": "query", "query": query, "conversation_id": conversation})
        self._started = False
        while True:
            try:
                with self._connect("?resume=1" if self._started else "") as connection:
                    if not self._started:
                        connection.send(question)
                    return self._answer(connection)
            except (ConnectionClosed, ConnectionError) as error:
                if isinstance(error, ConnectionClosed) and error.rcvd is not None and 4500 <= error.rcvd.code < 4600:
                    raise
                print("… connection lost; reconnecting", flush=True)
                time.sleep(0.5)

    def _connect(self, query: str = "") -> ClientConnection:
        return connect(f"ws{self._url.removeprefix('http')}{self._path}{query}", additional_headers=self._headers)

    def _answer(self, connection: Connection) -> str:
        for text in connection:
            frame = json.loads(text)
            if text not in self._seen:
                self._seen.add(str(text))
                show(frame["type"], frame["data"])
            self._started = self._started or frame["type"] == "started"
            if frame["type"] == "completed":
                return str(frame["data"]["response"])
            if frame["type"] == "error":
                raise SystemExit(1)
        raise ConnectionResetError("the server closed the connection before the answer was complete")

    def history(self) -> None:
        """Print all conversations with their messages, newest first."""
        base = f"/conversations/{quote(self._user, safe='')}"
        for conversation in self._get(base)["conversations"]:
            name = conversation["conversation_id"]
            print(f"📁 {name}, {conversation['message_count']} messages: {conversation['preview']}", flush=True)
            for message in self._get(f"{base}/{quote(name, safe='')}/messages")["messages"]:
                print(f"   {message['role']}: {message['content']}", flush=True)

    def _get(self, path: str) -> Data:
        request = urllib.request.Request(self._url + path, None, self._headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
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
    parser.add_argument("--conversation", help="continue this conversation; the default is the session's own")
    parser.add_argument("--history", action="store_true", help="print earlier questions and answers")
    parser.add_argument("--token", help="token, for a hub with authentication")
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
        raise SystemExit(f"request to {args.url} failed: {error}") from None


if __name__ == "__main__":
    main()
