"""The sockets on which hubs and workers listen."""

from __future__ import annotations

import errno
import socket
import sys
from typing import Final

from broadcasters.errors import PlancastError
from hub.config.limits import OutletLimits
from hub.config.settings import Settings, flag, variable

__all__ = ["BACKLOG", "address_of", "listeners", "probe_listener"]

BACKLOG: Final = 4096


def listeners(settings: Settings, outlet: OutletLimits) -> list[socket.socket]:
    """A listening socket for each worker, all on one address. Linux spreads connections over them; elsewhere all workers
    share one socket."""
    first = _socket(settings.host, outlet)
    bound = [first]
    try:
        first.bind((settings.host, settings.port))  # before SO_REUSEPORT is set, so that a port in use is an error
        if sys.platform == "linux" and settings.workers > 1:
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            for _ in range(settings.workers - 1):
                bound.append(_socket(settings.host, outlet))
                bound[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                bound[-1].bind(first.getsockname())
        for each in bound:
            each.listen(BACKLOG)
    except OSError as error:
        for each in bound:
            each.close()
        raise _refusal(error, settings.host, settings.port, "host", "port") from None
    return bound if len(bound) == settings.workers else bound * settings.workers


def _socket(host: str, outlet: OutletLimits) -> socket.socket:
    """Connections inherit the options that bound the cost of dead and stalled clients."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, outlet.send_buffer)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sys.platform == "linux":
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(outlet.peer_timeout_seconds * 1000))
    return made


def address_of(bound: socket.socket) -> str:
    """The address of a listening socket, as in URLs."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def probe_listener(host: str, port: int) -> socket.socket:
    """A listening socket for the probes and metrics of a worker."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen()
    except OSError as error:
        made.close()
        raise _refusal(error, host, port, "probe_host", "probe_port") from None
    return made


def _refusal(error: OSError, host: str, port: int, host_setting: str, port_setting: str) -> PlancastError:
    other = f"choose another port with {flag(port_setting)} or {variable(port_setting)}"
    hint = other if error.errno == errno.EADDRINUSE else f"check {flag(host_setting)} and {flag(port_setting)}"
    return PlancastError(f"can't listen on {host}:{port}: {error.strerror} ({hint})")
