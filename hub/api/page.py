"""The page for people: what `npm run build` made of frontend/src/page, or a small page where nothing was built.

Everything that may be served is known by its exact name before the first request; no path is ever made from an address.
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

__all__ = ["PageFile", "built_page", "router"]

FOLDER: Final = Path(__file__).parent.parent / "page"
ENCODINGS: Final = {"br": ".br", "gzip": ".gz"}
"""What is made beside each file when the page is built, the smaller first."""
SAFE: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file, in every encoding there is of it; `""` is the file as it is."""

    media_type: str
    etag: str
    bodies: Mapping[str, bytes]

    def answer(self, request: Request, headers: Mapping[str, str]) -> Response:
        """The file in the encoding this client likes best, or word that it has it already."""
        encoding = _best(request.headers.get("accept-encoding", ""), self.bodies)
        etag = f'"{self.etag}{encoding and "-"}{encoding}"'
        said = {**SAFE, **headers, "ETag": etag, "Vary": "Accept-Encoding"}
        if _names(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=said)
        if encoding:
            said["Content-Encoding"] = encoding
        return Response(self.bodies[encoding], headers=said, media_type=self.media_type)


def built_page(folder: Path) -> Mapping[str, PageFile]:
    """Every file that was built there, by its name under `folder`; empty when nothing was."""
    if not (folder / "index.html").is_file():
        return {}
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in ENCODINGS.values()]
    return {path.relative_to(folder).as_posix(): _read(path) for path in paths}


def router(folder: Path = FOLDER) -> APIRouter:
    """`/`, `/plan/…` and `/wall`, and under `/assets/` what they are made of. The page is read once, here."""
    built = built_page(folder / "built")
    index = built.get("index.html") or _read(folder / "index.html")
    policy = _policy(index.bodies[""].decode())
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    @routes.get("/plan/{rest:path}")
    @routes.get("/wall")
    async def page(request: Request) -> Response:
        return index.answer(request, {"Cache-Control": "no-cache", "Content-Security-Policy": policy})

    @routes.get("/assets/{name:path}")
    async def asset(name: str, request: Request) -> Response:
        found = built.get(f"assets/{name}")
        if found is None:
            raise HTTPException(404, "the page has no such part; if it was updated just now, load it again")
        return found.answer(request, {"Cache-Control": "public, max-age=31536000, immutable"})

    return routes


def _policy(html: str) -> str:
    """What this document may do: run and show what comes from here, and what stands in it, letter for letter."""
    scripts = [_hash(text) for text in re.findall(r"<script>(.*?)</script>", html, re.DOTALL)]
    # Griffel writes its rules by script into style elements that are empty: the hash of nothing is all it needs.
    styles = [_hash(text) for text in ["", *re.findall(r"<style>(.*?)</style>", html, re.DOTALL)]]
    return "; ".join(
        (
            "default-src 'none'",
            " ".join(["script-src 'self'", *scripts]),
            " ".join(["style-src 'self'", *styles]),
            "connect-src 'self'",
            "img-src 'self' data: https: http:",  # artworks and artifacts are where agents found them
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(path: Path) -> PageFile:
    body = path.read_bytes()
    packed = {name: path.with_name(path.name + suffix) for name, suffix in ENCODINGS.items()}
    bodies = {name: other.read_bytes() for name, other in packed.items() if other.is_file()} | {"": body}
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return PageFile(media_type, hashlib.sha256(body).hexdigest()[:20], bodies)


def _best(accepted: str, bodies: Mapping[str, bytes]) -> str:
    """The first of `bodies` that this Accept-Encoding takes; the plain one when it takes none."""
    taken = {name: _weight(parameters) > 0 for name, parameters in map(_part, accepted.lower().split(","))}
    return next((name for name in bodies if taken.get(name, taken.get("*", False))), "")


def _part(said: str) -> tuple[str, str]:
    name, _, parameters = said.partition(";")
    return name.strip(), parameters


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0


def _names(if_none_match: str, etag: str) -> bool:
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in known or known == ["*"]
