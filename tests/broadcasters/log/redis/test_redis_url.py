"""URLs of Redis logs."""

from __future__ import annotations

import pytest

from broadcasters.errors import LogMisconfigured
from broadcasters.log.redis.url import Address, RedisOptions, RedisUrl, User


def test_a_single_server() -> None:
    url = RedisUrl.parse("redis://agent:p%40ss@cache.example:6390/3?prefix=x&ttl=0.5&replicas=1")
    assert (url.kind, url.addresses, url.db) == ("single", (Address("cache.example", 6390),), 3)
    assert url.user == User("agent", "p@ss")
    assert (url.options, url.tls) == (RedisOptions("x", 43_200, 1), None)


def test_defaults() -> None:
    url = RedisUrl.parse("redis://")
    assert (url.addresses, url.user, url.db) == ((Address("localhost", 6379),), User(None, None), 0)
    assert url.options == RedisOptions("plancast", 30 * 86_400, 0)


def test_sentinels() -> None:
    url = RedisUrl.parse("redis+sentinel://:secret@a:1,b,[::1]:3/plans/2?sentinel_user=watch&sentinel_password=w")
    assert (url.kind, url.service, url.db) == ("sentinel", "plans", 2)
    assert url.addresses == (Address("a", 1), Address("b", 26379), Address("::1", 3))
    assert (url.user, url.sentinel_user) == (User(None, "secret"), User("watch", "w"))


def test_a_cluster_with_tls() -> None:
    url = RedisUrl.parse("rediss+cluster://a:1,b:2?ca=/etc/ca.pem&verify=no")
    assert (url.kind, url.addresses) == ("cluster", (Address("a", 1), Address("b", 2)))
    assert url.tls is not None
    assert (url.tls.ca, url.tls.verify) == ("/etc/ca.pem", False)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://a?tll=3", "'tll'"),
        ("redis://a?ttl=soon", "ttl='soon'"),
        ("redis://a?ttl=-1", "ttl='-1'"),
        ("redis://a?ttl=nan", "ttl='nan'"),
        ("redis://a?prefix={x}", "prefix"),
        ("redis://a/notanumber", "notanumber"),
        ("redis://a:port", "a:port"),
        ("redis+cluster://a/1", "'/1'"),
        ("redis+sentinel://a", "redis+sentinel"),
        ("redis+else://a", "redis+sentinel://"),
        ("rediss://a?verify=maybe", "verify='maybe'"),
        ("redis://a:1,b:2", "redis+cluster://"),
        ("redis://a?ca=/etc/ca.pem", "rediss"),
        ("redis://a?verify=yes", "rediss"),
    ],
)
def test_an_error_names_what_is_wrong(url: str, said: str) -> None:
    with pytest.raises(LogMisconfigured, match=None) as caught:
        RedisUrl.parse(url)
    assert said in str(caught.value)


def test_a_password_is_not_shown() -> None:
    url = RedisUrl.parse("redis://agent:hunter2@a?sentinel_password=hunter3")
    assert "hunter" not in repr(url)


@pytest.mark.parametrize("url", ["redis://agent:hun#ter2@a", "redis://agent:hun/ter2@a"])
def test_a_password_is_not_shown_by_a_url_that_can_not_be_read(url: str) -> None:
    with pytest.raises(LogMisconfigured, match="%2F") as caught:
        RedisUrl.parse(url)
    assert "ter" not in str(caught.value)


def test_missing_certificates_are_a_misconfiguration() -> None:
    tls = RedisUrl.parse("rediss://a?ca=/nowhere/ca.pem").tls
    assert tls is not None
    with pytest.raises(LogMisconfigured, match="TLS"):
        tls.context()
