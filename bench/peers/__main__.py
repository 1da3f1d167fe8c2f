"""Other servers doing the same work: `python -m bench.peers` (requires `scripts/ready peers`).

One plan, 500 clients, frames of equal size, one core. The servers are measured alternately, and each is fed in its own way:
the hub through Redis, NATS with PUB, Nchan with POST, the others with lines on a socket. As configured here, none of the
others stores events durably.
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.fan_out import delivered, row
from bench.publishers import LONGEST_APPEND, append, paced
from bench.rig import SERVED, Sink, cpu_seconds, floor, on_core, record, redis, table
from tests.servers.process import free_port

__all__ = ["main"]

FLOOR: Final = "floor: send() in C"
HUB: Final = "Plancast"
HERE: Final = Path(__file__).parent
CLIENTS: Final = 500
SIZE: Final = 284
"""Bytes of a frame from the hub; events for the other servers are sized to give the same."""
SUBSCRIBE: Final = '{"type":"subscribe_plan","plan_id":"plan"}'
HEAD: Final = 4
"""Bytes of a WebSocket frame header, at this size."""


def _line(text: bytes) -> bytes:
    return text + b"\n"


@dataclass(frozen=True)
class Peer:
    """A server that the hub is compared with."""

    name: str
    command: Callable[[int, int, Path], Sequence[str]]
    """Takes the clients' port, the producers' port and a directory for files."""
    hello: bytes = b""
    """Sent first by a producer."""
    framed: Callable[[bytes], bytes] = _line
    """Encodes one event for a producer."""
    around: int = 0
    """Bytes the server adds around an event."""
    path: str = "/"
    frames: tuple[str, ...] = (SUBSCRIBE,)
    sink: tuple[str, ...] = ()
    """Options by which the sink recognises its events and confirmations."""
    burst: int = 2000
    """Number of events in the burst test, chosen so that it takes some seconds."""


def _nats(port: int, feed: int, directory: Path) -> Sequence[str]:
    (directory / "nats.conf").write_text(
        f'host: "127.0.0.1"\nport: {feed}\nwebsocket {{ host: "127.0.0.1", port: {port}, no_tls: true }}\n'
    )
    return ["nats-server", "-c", str(directory / "nats.conf")]


def _nchan(port: int, feed: int, directory: Path) -> Sequence[str]:
    (directory / "nginx.conf").write_text(
        "load_module /usr/lib/nginx/modules/ngx_nchan_module.so;\n"
        f"daemon off; master_process off; pid {directory}/pid; error_log stderr crit;\n"
        "events { worker_connections 4096; }\n"
        "http { access_log off; keepalive_requests 1000000; nchan_message_buffer_length 25000;\n"
        f"  client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};\n"
        f"  uwsgi_temp_path {directory}; scgi_temp_path {directory};\n"
        f"  server {{ listen 127.0.0.1:{port}; location / {{ nchan_subscriber websocket; nchan_channel_id plan; }} }}\n"
        f"  server {{ listen 127.0.0.1:{feed}; location / {{ nchan_publisher; nchan_channel_id plan; }} }} }}\n"
    )
    return ["/usr/sbin/nginx", "-e", "stderr", "-p", str(directory), "-c", str(directory / "nginx.conf")]


def _posted(text: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: nchan\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


def _node(program: str) -> Callable[[int, int, Path], Sequence[str]]:
    return lambda port, feed, _: ["node", str(HERE / program), str(port), str(feed)]


MSG: Final = f"MSG plan 1 {SIZE}\r\n\r\n"
PEERS: Final = (
    Peer("Nchan 1.3 on nginx", _nchan, framed=_posted, frames=()),
    Peer(
        "NATS 2.9",
        _nats,
        hello=b'CONNECT {"verbose":false}\r\n',
        framed=lambda text: b"PUB plan %d\r\n%s\r\n" % (len(text), text),
        around=len(MSG),
        frames=('CONNECT {"verbose":false}\r\nSUB plan 1\r\nPING\r\n',),
        sink=("-c", "PONG", "-s", str(SIZE - HEAD)),
        burst=20_000,
    ),
    Peer("ws 8 on Node", _node("ws.mjs")),
    Peer(
        "Socket.IO 4.8",
        _node("socket_io.mjs"),
        around=len('42["agent_message",]'),
        path="/socket.io/?EIO=4&transport=websocket&plan=plan",
        frames=("40",),
        sink=("-c", '42["subscription_confirmed"', "-e", '42["agent_message"'),
    ),
    Peer(
        "FastAPI, naive",
        lambda port, feed, _: [sys.executable, "-m", "bench.peers.naive", str(port), str(feed)],
    ),
)


def _event(size: int) -> bytes:
    """An event of this size with the current time."""
    event = {"type": "agent_message", "plan_id": "plan", "content": f"@{time.monotonic_ns():020d}@"}
    text = json.dumps(event, separators=(",", ":"))
    return (text[:-2] + "x" * (size - len(text)) + '"}').encode()


@contextmanager
def _running(peer: Peer) -> Iterator[tuple[int, int, int]]:
    """Run the server on the served core; yields its pid and two ports."""
    port, feed = free_port(), free_port()
    with tempfile.TemporaryDirectory() as directory:
        command = on_core(SERVED, peer.command(port, feed, Path(directory)))
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            for one in (port, feed):
                _wait_for(one, process)
            yield process.pid, port, feed
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > until or process.poll() is not None:
                raise
            time.sleep(0.05)


def _produce(producer: socket.socket, peer: Peer, events: int, rate: float) -> None:
    """Send `rate` events per second; 0 means as fast as possible."""
    began, size = time.perf_counter(), SIZE - HEAD - peer.around
    producer.sendall(peer.hello)
    for n in range(events):
        if rate and (due := began + n / rate - time.perf_counter()) > 0.0005:
            time.sleep(due)
        producer.sendall(peer.framed(_event(size)))


def _swallow(producer: socket.socket) -> None:
    while producer.recv(65_536):
        pass


def _delivered(peer: Peer, events: int, rate: float) -> tuple[float, float]:
    """CPU microseconds per delivery, and the p99 in milliseconds."""
    with _running(peer) as (pid, port, feed):
        sink = Sink(port, CLIENTS, events, peer.frames, path=peer.path, options=peer.sink, seconds=180)
        sink.ready()
        with socket.create_connection(("127.0.0.1", feed)) as producer:
            answers = threading.Thread(target=_swallow, args=[producer])
            answers.start()
            before = cpu_seconds(pid)
            _produce(producer, peer, events, rate)
            found = sink.result()
            used = cpu_seconds(pid) - before
            producer.shutdown(socket.SHUT_RDWR)
            answers.join()
        return used / found["events"] * 1e6, float(found["p99_ms"])


def main(*, full: bool = False) -> None:
    """Measure, print and record."""
    events, rate, rounds = (2000 if full else 600), 200.0, (5 if full else 3)
    with redis() as server:
        paced_by_name: dict[str, list[tuple[float, float]]] = {}
        for _ in range(rounds):
            publishing = paced(server.url, ["plan"], events, rate)
            measured = {
                FLOOR: floor(CLIENTS, SIZE, events, rate),
                HUB: delivered(server.url, "plan", events, publishing),
                **{peer.name: _delivered(peer, events, rate) for peer in PEERS},
            }
            for name, one in measured.items():
                paced_by_name.setdefault(name, []).append(one)
        publishing = append(server.url, "burst", 20_000, LONGEST_APPEND)
        burst = {HUB: delivered(server.url, "burst", 20_000, publishing)[0]}
    burst |= {peer.name: _delivered(peer, peer.burst, 0)[0] for peer in PEERS}
    least = statistics.median(cpu for cpu, _ in paced_by_name[FLOOR])
    rows = [row(name, found, least) | {"burst: µs CPU": burst.get(name)} for name, found in paced_by_name.items()]
    table(f"{CLIENTS} clients, one plan, {rate:g} events of {SIZE} bytes a second, and as fast as possible", rows)
    record("peers", rows)


if __name__ == "__main__":
    main(full="--full" in sys.argv)
