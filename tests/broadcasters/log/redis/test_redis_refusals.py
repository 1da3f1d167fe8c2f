"""The contract's error for each error of Redis."""

from __future__ import annotations

import pytest

from broadcasters.errors import LogError, LogFull, LogMisconfigured, LogUnavailable
from broadcasters.log.redis.link import _parse_error
from broadcasters.log.redis.refusals import as_log_error


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", LogFull, "maxmemory"),
        ("MISCONF Redis is configured to save RDB snapshots, but …", LogFull, "disk"),
        ("NOREPLICAS Not enough good replicas to write.", LogUnavailable, "min-replicas-to-write"),
        ("READONLY You can't write against a read only replica.", LogUnavailable, "master"),
        ("LOADING Redis is loading the dataset in memory", LogUnavailable, "loading"),
        ("MASTERDOWN Link with MASTER is down", LogUnavailable, "master"),
        ("MOVED 3999 127.0.0.1:6381", LogUnavailable, "slot"),
        ("ASK 3999 127.0.0.1:6381", LogUnavailable, "slot"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", LogUnavailable, "slot"),
        ("CLUSTERDOWN Hash slot not served", LogUnavailable, "cluster"),
        ("BUSY Redis is busy running a script.", LogUnavailable, "busy"),
        ("ERR max number of clients reached", LogUnavailable, "maxclients"),
        ("NOAUTH Authentication required.", LogMisconfigured, "password"),
        ("WRONGPASS invalid username-password pair", LogMisconfigured, "password"),
        ("NOPERM this user has no permissions to run the 'xadd' command", LogMisconfigured, "xadd"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", LogMisconfigured, "WRONGTYPE"),
        ("ERR an unknown reason", LogMisconfigured, "an unknown reason"),
    ],
)
def test_the_meaning_of_an_error(text: str, kind: type[LogError], said: str) -> None:
    error = as_log_error(_parse_error(text), "plancast:{plan}:log")
    assert type(error) is kind
    assert said in str(error)
    assert "plancast:{plan}:log" in str(error)
