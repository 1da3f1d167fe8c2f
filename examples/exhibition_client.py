"""Terminal client for the exhibition dialect. It uses only the wire format, nothing else of this project.

    python examples/exhibition_client.py "Surrealism and dreams"
    python examples/exhibition_client.py --session 1f0c…      # watch an existing session

It prints a progress bar and the results of each stage as they arrive. After a broken connection it reconnects and prints
only new frames; the server always sends a session from its beginning.
"""

from __future__ import annotations

import argparse
import json
import time
import urllib.request
from typing import Any
from urllib.parse import quote

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

WIDTH = 30
Frame = dict[str, Any]


class Exhibition:
    """One session on one server."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._seen = 0

    def start(self, theme: str) -> str:
        """Start a proposal and return its session id."""
        body = json.dumps({"theme": theme}).encode()
        return str(self._http("/api/proposals", body)["session_id"])

    def watch(self, session_id: str) -> Frame:
        """Print all frames until the end, reconnecting as needed, and return the last one."""
        while True:
            try:
                return self._watch_once(session_id)
            except (ConnectionClosed, OSError) as error:
                if isinstance(error, ConnectionClosed) and error.rcvd is not None and 4500 <= error.rcvd.code < 4600:
                    raise
                print("… connection lost; reconnecting", flush=True)
                time.sleep(0.5)

    def _watch_once(self, session_id: str) -> Frame:
        address = f"ws{self._url.removeprefix('http')}/ws/{quote(session_id, safe='')}"
        with connect(address, additional_headers=self._headers) as socket:
            for number, text in enumerate(socket, 1):
                frame: Frame = json.loads(text)
                if number > self._seen:
                    self._seen = number
                    show(frame)
                if frame["type"] in ("completed", "error"):
                    return frame
        raise ConnectionResetError("the server closed the connection before the end")

    def proposal(self, address: str) -> Frame:
        """Return the complete proposal."""
        return self._http(address)

    def _http(self, path: str, body: bytes | None = None) -> Frame:
        request = urllib.request.Request(self._url + path, body, {**self._headers, "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: Frame = json.load(answer)
            return found


def bar(percent: int) -> str:
    done = WIDTH * percent // 100
    return f"[{'█' * done}{'░' * (WIDTH - done)}] {percent:3} %"


def show(frame: Frame) -> None:
    match frame["type"]:
        case "connected":
            print(f"Connected to session {frame['session_id']}", flush=True)
        case "progress":
            print(f"{bar(frame['progress'])}  {frame['message']}", flush=True)
        case "stage_complete":
            print(f"{bar(frame['progress'])}  {frame['message']}", flush=True)
            show_stage(frame["completed_stage"], frame["data"])
        case "completed":
            print(f"{bar(100)}  The proposal is at {frame['proposal_url']}", flush=True)
        case "error":
            print(f"Error: {frame['error']}", flush=True)
        case _:
            pass


def show_stage(stage: str, data: Frame) -> None:
    if stage == "theme_refinement":
        print(f"\n  {data['exhibition_title']}\n  {data['subtitle']}\n\n  {data['curatorial_statement']}\n", flush=True)
    for artist in data.get("artists", []):
        print(f"  {artist['score']:.2f}  {artist['name']}: {artist['reasoning']}", flush=True)
    for work in data.get("artworks", []):
        print(
            f"  {work['score']:.2f}  {work['title']}, {work['artist_name']}\n        {work['iiif_manifest']}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("theme", nargs="?", default="Surrealism and dreams")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--session", help="watch this session instead of starting one")
    parser.add_argument("--token", help="token, for a hub with authentication")
    args = parser.parse_args()
    exhibition = Exhibition(args.url, args.token)
    try:
        session_id = args.session or exhibition.start(args.theme)
        last = exhibition.watch(session_id)
    except (ConnectionClosed, InvalidStatus, OSError) as error:
        raise SystemExit(f"request to {args.url} failed: {error}") from None
    if last["type"] == "error":
        raise SystemExit(1)
    proposal = exhibition.proposal(last["proposal_url"])
    print(f"{len(proposal['artists'])} artists, {len(proposal['artworks'])} artworks")


if __name__ == "__main__":
    main()
