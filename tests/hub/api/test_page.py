"""The web page: the files of the build are served, and no others."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from hub.api.page import HubPage

SCRIPT = "console.log('plans')" * 50
HTML = '<!doctype html><script type="module" src="/assets/index-1a2b.js"></script>'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A build of the page next to a private file."""
    built = tmp_path / "page" / "built"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text(HTML)
    (built / "assets" / "index-1a2b.js").write_text(SCRIPT)
    (built / "assets" / "index-1a2b.js.br").write_bytes(b"as brotli")
    (built / "assets" / "index-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    (built / "assets" / "index-3c4d.css").write_text("html { margin: 0 }")
    (tmp_path / "page" / "secret.txt").write_text("secret")
    return tmp_path / "page"


@pytest_asyncio.fixture
async def browser(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(HubPage(folder).router())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/plan/plan-1", "/plan/%20", "/plan/a/b", "/wall", "/wall?plan=a&plan=b"])
async def test_every_route_of_the_page_serves_the_page(browser: httpx.AsyncClient, path: str) -> None:
    answer = await browser.get(path)
    assert (answer.status_code, answer.text) == (200, HTML)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_the_page_is_revalidated_each_time_and_sent_only_when_it_changed(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/plan/plan-1")
    assert answer.headers["cache-control"] == "no-cache"
    for known in (answer.headers["etag"], f'"other", W/{answer.headers["etag"]}', "*"):
        again = await browser.get("/plan/plan-2", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == answer.headers["etag"]
    assert (await browser.get("/", headers={"If-None-Match": '"other"'})).status_code == 200


async def test_assets_are_cached_for_a_year(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/assets/index-3c4d.css")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"].startswith("text/css")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("BR", "br"),
        ("*", "br"),
        ("*;q=0", None),
        ("identity", None),
        ("br;q=often", None),
        ("", None),
    ],
)
async def test_files_are_sent_in_an_encoding_the_browser_accepts(
    browser: httpx.AsyncClient, accepted: str, encoding: str | None
) -> None:
    async with browser.stream("GET", "/assets/index-1a2b.js", headers={"Accept-Encoding": accepted}) as answer:
        body = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["vary"] == "Accept-Encoding"
    expected = {"br": b"as brotli", "gzip": gzip.compress(SCRIPT.encode()), None: SCRIPT.encode()}
    assert len(body) == int(answer.headers["content-length"])
    assert gzip.decompress(body) == SCRIPT.encode() if encoding == "gzip" else body == expected[encoding]


async def test_each_encoding_has_its_own_etag(browser: httpx.AsyncClient) -> None:
    tags = {
        (await browser.get("/assets/index-1a2b.js", headers={"Accept-Encoding": accepted})).headers["etag"]
        for accepted in ("gzip", "identity")
    }
    assert len(tags) == 2


async def test_the_policy_allows_only_the_hubs_own_scripts_and_no_frames(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/")
    policy = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/",
        "/assets/missing.js",
        "/assets/index-1a2b.js.br",
        "/assets/../../secret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/assets/index-1a2b.js%00.css",
        "/index.html",
        "/built/index.html",
    ],
)
async def test_no_other_file_is_served(browser: httpx.AsyncClient, path: str) -> None:
    answer = await browser.get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


async def test_a_placeholder_page_is_served_without_a_build(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<style>a{}</style><script>let a = 1</script>")
    app = FastAPI()
    app.include_router(HubPage(tmp_path).router())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client:
        answer = await client.get("/plan/plan-1")
        assert answer.text == "<style>a{}</style><script>let a = 1</script>"
        # printf 'let a = 1' | openssl dgst -sha256 -binary | base64
        assert "'sha256-LAfYd7pbFUgwfQu8b4q135PeTG2z+/coPEUYCd74eCQ='" in answer.headers["content-security-policy"]
        assert (await client.get("/assets/index.html")).status_code == 404


async def test_the_hub_serves_its_page(client: httpx.AsyncClient) -> None:
    """With and without a build, the page and its files are served."""
    answer = await client.get("/plan/plan-1")
    assert answer.status_code == 200
    assert "<title>Plancast</title>" in answer.text
    head = await client.head("/plan/plan-1")
    assert head.headers["etag"] == answer.headers["etag"]
    for source in answer.text.split('src="/')[1:]:
        assert (await client.get("/" + source.split('"')[0])).status_code == 200


async def test_a_person_who_follows_a_wrong_link_gets_the_page_and_a_program_a_problem(
    client: httpx.AsyncClient,
) -> None:
    person = await client.get("/plan-1", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (person.status_code, person.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "content-security-policy" in person.headers
    for path, accept in (("/plan-1", "*/*"), ("/api/nothing", "text/html"), ("/api/plans/none", "text/html")):
        program = await client.get(path, headers={"Accept": accept})
        assert (program.status_code, program.headers["content-type"]) == (404, "application/problem+json")
