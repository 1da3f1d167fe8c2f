"""The systemd units of deploy/: systemd accepts them, and they leave hubs enough time to drain."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hub.config.settings import Settings
from hub.process.serving import GRACE
from hub.process.workers import SPARE_FILES

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = ["plancast.service", "plancast-worker.service"]
SETTINGS = Settings()


def unit(name: str) -> dict[str, str]:
    """The settings of this unit, from all sections."""
    return dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / name).read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_the_units(name: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    here = (DEPLOY / name).read_text().replace("/opt/plancast/bin/", f"{Path(sys.executable).parent}/")
    (tmp_path / name).write_text(here)
    verify = ["systemd-analyze", "verify", "--recursive-errors=no", str(tmp_path / name)]
    done = subprocess.run(verify, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stopped_hub_has_time_to_drain_and_gets_one_signal() -> None:
    settings = unit("plancast.service")
    assert (
        settings["KillMode"] == "mixed"
    )  # otherwise workers get two signals, systemd's and the parent's, and end at once
    assert int(settings["TimeoutStopSec"]) >= SETTINGS.drain_seconds + GRACE + 20
    assert int(settings["LimitNOFILE"]) >= SETTINGS.max_connections + SPARE_FILES


def test_a_worker_runs_as_its_hub_does() -> None:
    hub, worker = (unit(name) for name in UNITS)
    own = {"Description", "ExecStart"}
    hubs_own = {"OOMPolicy", "LimitNOFILE"}
    assert {name: worker[name] for name in worker.keys() - own} == {
        name: hub[name] for name in hub.keys() - own - hubs_own
    }
