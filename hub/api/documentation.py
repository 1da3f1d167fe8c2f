"""Serves the documentation at `/docs`: the site that `make docs` builds.

As with the page, no file path is ever derived from a request. Files are read when they are first requested, since most hubs
serve few of them.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from hub.api.page import FOLDER, PageFile, content_policy, read_file

__all__ = ["router"]

NOT_BUILT: Final = "this hub was installed without its documentation; in a checkout, `make docs` builds it"
NO_SUCH_PAGE: Final = "the documentation has no such page; it begins at /docs/"
IMAGES: Final = "'self' data:"
HASHED: Final = re.compile(r"\.[0-9a-f]{8}\.")
"""In the names of files whose content never changes."""
KEPT_FILES: Final = 64
COMPRESSED: Final = ("text/", "application/json", "application/javascript", "image/svg+xml")


def router(folder: Path = FOLDER / "docs") -> APIRouter:
    """The routes `/docs` and below."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    routes = APIRouter(include_in_schema=False)

    @lru_cache(KEPT_FILES)
    def file(name: str) -> tuple[PageFile, Mapping[str, str]]:
        read = read_file(paths[name])
        return _compressed(read), _headers(name, read)

    @routes.get("/docs")
    async def index() -> Response:
        return RedirectResponse("docs/")

    @routes.get("/docs/{name:path}")
    def documentation(name: str, request: Request) -> Response:  # not async: it may read and compress a file
        found = f"{name}index.html" if name.endswith("/") or not name else name
        if f"{name}/index.html" in paths:
            return RedirectResponse(f"{name.rpartition('/')[2]}/")
        if found not in paths:
            raise HTTPException(404, NO_SUCH_PAGE if paths else NOT_BUILT)
        answer, headers = file(found)
        return answer.answer(request, headers)

    return routes


def _headers(name: str, file: PageFile) -> Mapping[str, str]:
    if HASHED.search(name):
        return {"Cache-Control": "public, max-age=31536000, immutable"}
    if file.media_type == "text/html":
        policy = content_policy(file.bodies[""].decode(), IMAGES)
        return {"Cache-Control": "no-cache", "Content-Security-Policy": policy}
    return {"Cache-Control": "no-cache"}


def _compressed(file: PageFile) -> PageFile:
    if not file.media_type.startswith(COMPRESSED):
        return file
    return replace(file, bodies={"gzip": gzip.compress(file.bodies[""], mtime=0), **file.bodies})
