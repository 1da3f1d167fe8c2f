from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.image import ROOT, Image


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    if not (ROOT / "hub/page/built/index.html").exists():
        pytest.skip("the page is not built: run make page")
    with Image() as image:
        yield image
