"""The documentation below `/docs`: the files of the build are served, and no others."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from hub.api import documentation

HTML = "<!doctype html><script>document.title</script><p>" + "Plans. " * 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A build of the site next to a private file."""
    built = tmp_path / "docs"
    for path, text in {
        "index.html": HTML,
        "tutorial/index.html": HTML,
        "tutorial/index.md": "# Tutorial",
        "llms.txt": "# Plancast",
        "assets/bundle.0a1b2c3d.min.js": "search()",
        "assets/site.css": "p { margin: 0 }",
    }.items():
        (built / path).parent.mkdir(parents=True, exist_ok=True)
        (built / path).write_text(text)
    (tmp_path / "secret.txt").write_text("secret")
    return built


def browser_of(folder: Path) -> httpx.AsyncClient:
    app, outer = FastAPI(docs_url=None), FastAPI(docs_url=None)
    app.include_router(documentation.router(folder))
    outer.mount("/plancast", app)
    outer.include_router(documentation.router(folder))
    return httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url="http://hub")


@pytest_asyncio.fixture
async def browser(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with browser_of(folder) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/docs/", "text/html"),
        ("/docs/tutorial/", "text/html"),
        ("/docs/tutorial/index.md", "text/markdown"),
        ("/docs/llms.txt", "text/plain"),
        ("/docs/assets/site.css", "text/css"),
        ("/plancast/docs/tutorial/", "text/html"),
    ],
)
async def test_each_file_of_the_build_is_served(browser: httpx.AsyncClient, path: str, media_type: str) -> None:
    answer = await browser.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("prefix", ["", "/plancast"])
@pytest.mark.parametrize("path", ["/docs", "/docs/tutorial"])
async def test_an_address_without_its_last_slash_redirects(browser: httpx.AsyncClient, prefix: str, path: str) -> None:
    answer = await browser.get(prefix + path)
    assert answer.status_code == 307
    assert answer.url.join(answer.headers["location"]).path == f"{prefix}{path}/"


@pytest.mark.parametrize(
    "path",
    ["/docs/none", "/docs/none/", "/docs/../secret.txt", "/docs/%2e%2e/secret.txt", "/docs//etc/passwd", "/docs/%00"],
)
async def test_nothing_else_is_served(browser: httpx.AsyncClient, path: str) -> None:
    answer = await browser.get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


async def test_a_page_runs_only_its_own_scripts(browser: httpx.AsyncClient) -> None:
    policy = (await browser.get("/docs/")).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self' 'sha256-" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


async def test_pages_are_revalidated_and_files_named_by_their_content_are_not(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/docs/")
    assert page.headers["cache-control"] == "no-cache"
    again = await browser.get("/docs/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await browser.get("/docs/assets/site.css")).headers["cache-control"] == "no-cache"
    script = await browser.get("/docs/assets/bundle.0a1b2c3d.min.js")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_text_is_compressed_for_clients_that_accept_it(browser: httpx.AsyncClient) -> None:
    async with browser.stream("GET", "/docs/", headers={"Accept-Encoding": "gzip"}) as answer:
        packed = b"".join([part async for part in answer.aiter_raw()])
    assert gzip.decompress(packed).decode() == HTML
    plain = await browser.get("/docs/", headers={"Accept-Encoding": "identity"})
    assert (plain.text, plain.headers["vary"]) == (HTML, "Accept-Encoding")


async def test_without_a_build_the_answer_says_how_to_get_one(tmp_path: Path) -> None:
    async with browser_of(tmp_path / "none") as browser:
        answer = await browser.get("/docs/")
    assert answer.status_code == 404
    assert answer.json()["detail"] == documentation.NOT_BUILT
