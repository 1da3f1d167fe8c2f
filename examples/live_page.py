"""A hub with its page and a demo plan: the program behind `make run`.

    python examples/live_page.py [--port 8000] [--speed 1] [--once]

Open the printed address in any number of tabs; reload or close them, and no event is lost. More plans can be started
there from the hub's templates. Ctrl-C stops it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Thread

from broadcasters.log import default_url

if __package__ in (None, ""):  # run as a file: import from `examples` as with `python -m examples.live_page`
    sys.path.insert(0, str(Path(__file__).parent.parent))
from examples.first_plan import work


def has_port(hub: subprocess.Popen[str]) -> bool:
    """Wait until the hub prints its address; False if it exited (it printed the reason). Its output is forwarded."""
    assert hub.stdout is not None
    first = hub.stdout.readline()
    print(first, end="")
    Thread(target=forward, args=[hub.stdout], daemon=True).start()
    return bool(first)


def forward(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, end="", flush=True)


def until_ready(hub: subprocess.Popen[str], address: str) -> bool:
    """Wait for the hub, which may be waiting for its log; False if it exited."""
    while hub.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=5):
                return True
        except OSError:
            time.sleep(0.05)
    return False


def templates(address: str) -> list[str]:
    """Titles of the templates this hub can start; empty if it requires a token."""
    try:
        with urllib.request.urlopen(f"{address}/api/templates", timeout=5) as answer:
            return [template["title"] for template in json.load(answer)]
    except urllib.error.HTTPError:
        return []


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run a hub with its page and a demo plan.")
    port = os.environ.get("PLANCAST_PORT") or 8000
    parser.add_argument("--port", type=int, default=port, help="port of the hub")
    parser.add_argument("--speed", type=float, default=1.0, help="1 is human pace, 0 is without pauses")
    parser.add_argument("--once", action="store_true", help="exit when the plan has ended")
    args = parser.parse_args(argv)

    address, plan_id = f"http://127.0.0.1:{args.port}", f"first-plan-{time.time():.0f}"
    command = [sys.executable, "-m", "hub", "serve", "--port", str(args.port), "--logs-level", "warning"]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM stops the hub too
    hub = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if not (has_port(hub) and until_ready(hub, address)):
            return hub.wait() or 1
        print(f"\nWatch the demo plan:  {address}/plan/{plan_id}")
        if titles := templates(address):
            print(f"Start others:         {address}/  ({', '.join(titles)})")
        print("(Ctrl-C to stop)\n", flush=True)
        if os.environ.get("DISPLAY") or sys.platform == "darwin":
            webbrowser.open(f"{address}/plan/{plan_id}")
        asyncio.run(work(default_url(), plan_id, args.speed))
        print("The plan has ended. It is stored, and its page stays available.", flush=True)
        if not args.once:
            hub.wait()
    except KeyboardInterrupt:
        pass
    finally:
        if hub.poll() is None:
            hub.send_signal(signal.SIGTERM)
        hub.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
