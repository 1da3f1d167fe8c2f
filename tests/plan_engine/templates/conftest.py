"""Templates use the offline model without delays, and a shop of the test session."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shop_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop-home")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, shop_home: Path) -> None:
    monkeypatch.setenv("PLANCAST_PACE", "0")
    monkeypatch.delenv("PLANCAST_MODEL", raising=False)
    monkeypatch.setenv("HOME", str(shop_home))
