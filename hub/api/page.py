"""Serves the web page: the build of frontend/src/page, or a small placeholder page if it was not built.

Files are read by their exact names at startup; no file path is ever derived from a request.
"""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from hub.api.route import etag_matches

__all__ = ["FOLDER", "HubPage", "PageFile", "built_page", "content_policy", "read_file"]

FOLDER: Final = Path(__file__).parent.parent / "page"
ENCODINGS: Final = {"br": ".br", "gzip": ".gz"}
"""Compressed copies that the build makes of each file, smallest first."""
IMAGES: Final = "'self' data: https: http:"
"""Images and artifacts are loaded from where agents found them."""
PROGRAMS: Final = ("/api/", "/assets/", "/docs/", "/ws/")
"""Where a wrong path is a program's mistake, or has an answer of its own."""
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file in all its encodings; `""` is the uncompressed file."""

    media_type: str
    etag: str
    bodies: Mapping[str, bytes]

    def answer(self, request: Request, headers: Mapping[str, str]) -> Response:
        """The file in the best encoding the client accepts, or 304 if it has it."""
        encoding = _best(request.headers.get("accept-encoding", ""), self.bodies)
        etag = f'"{self.etag}{encoding and "-"}{encoding}"'
        sent = {**SECURITY_HEADERS, **headers, "ETag": etag, "Vary": "Accept-Encoding"}
        if etag_matches(request.headers.get("if-none-match"), etag):
            return Response(status_code=304, headers=sent)
        if encoding:
            sent["Content-Encoding"] = encoding
        return Response(self.bodies[encoding], headers=sent, media_type=self.media_type)


def built_page(folder: Path) -> Mapping[str, PageFile]:
    """All files of the build in `folder`, by their path in it; empty if there is no build."""
    if not (folder / "index.html").is_file():
        return {}
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in ENCODINGS.values()]
    return {path.relative_to(folder).as_posix(): read_file(path) for path in paths}


class HubPage:
    """The page's document and files. All are read once, here."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._built = built_page(folder / "built")
        self._index = self._built.get("index.html") or read_file(folder / "index.html")
        self._policy = content_policy(self._index.bodies[""].decode(), IMAGES)

    async def document(self, request: Request) -> Response:
        """The document, which shows what the request's path names."""
        return self._index.answer(request, {"Cache-Control": "no-cache", "Content-Security-Policy": self._policy})

    async def not_found(self, request: Request) -> Response | None:
        """The document with status 404 for a person who follows a wrong link; None for programs."""
        if request.method != "GET" or "text/html" not in request.headers.get("accept", ""):
            return None
        if request.url.path.startswith(PROGRAMS):
            return None
        response = await self.document(request)
        response.status_code = 404
        return response

    def router(self) -> APIRouter:
        """The routes `/`, `/plan/…`, `/wall` and `/assets/…`."""
        routes = APIRouter(include_in_schema=False)
        for path in ("/", "/plan/{rest:path}", "/wall"):
            routes.get(path)(self.document)

        @routes.get("/assets/{name:path}")
        async def asset(name: str, request: Request) -> Response:
            found = self._built.get(f"assets/{name}")
            if found is None:
                raise HTTPException(404, "no such file of the page; if the hub was just updated, reload the page")
            return found.answer(request, {"Cache-Control": "public, max-age=31536000, immutable"})

        return routes


def content_policy(html: str, images: str) -> str:
    """The Content-Security-Policy of a document: only the hub's own files, its inline scripts and styles by hash, and images
    of these sources."""
    scripts = [_hash(text) for text in re.findall(r"<script>(.*?)</script>", html, re.DOTALL)]
    # Griffel inserts its rules by script into empty style elements, for which the hash of an empty text is enough.
    styles = [_hash(text) for text in ["", *re.findall(r"<style>(.*?)</style>", html, re.DOTALL)]]
    return "; ".join(
        (
            "default-src 'none'",
            " ".join(["script-src 'self'", *scripts]),
            " ".join(["style-src 'self'", *styles]),
            "connect-src 'self'",
            f"img-src {images}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def read_file(path: Path) -> PageFile:
    """Read a file, and the compressed copies beside it."""
    body = path.read_bytes()
    packed = {name: path.with_name(path.name + suffix) for name, suffix in ENCODINGS.items()}
    bodies = {name: other.read_bytes() for name, other in packed.items() if other.is_file()} | {"": body}
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return PageFile(media_type, hashlib.sha256(body).hexdigest()[:20], bodies)


def _best(accepted: str, bodies: Mapping[str, bytes]) -> str:
    """The first encoding of `bodies` that the Accept-Encoding header accepts; otherwise the uncompressed one."""
    accepts = {name: _weight(parameters) > 0 for name, parameters in map(_part, accepted.lower().split(","))}
    return next((name for name in bodies if accepts.get(name, accepts.get("*", False))), "")


def _part(text: str) -> tuple[str, str]:
    name, _, parameters = text.partition(";")
    return name.strip(), parameters


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0
