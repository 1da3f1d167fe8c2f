"""The settings, and the errors for invalid ones."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.config.flags import add_flags, table
from hub.config.limits import ChannelLimits, Limits, PlanLimits
from hub.config.setting_types import Secret, without_password
from hub.config.settings import BadSetting, Settings, load, unknown_variables, variable

OPERATIONS = Path(__file__).parents[3] / "docs" / "OPERATIONS.md"
SECRET = "correct horse battery staple, and then some"


def parsed(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return parser.parse_args(argv)


@pytest.fixture(autouse=True)
def no_log_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLANCAST_LOG", raising=False)


def test_the_table_in_the_operations_document_is_current() -> None:
    assert table() in OPERATIONS.read_text(encoding="utf-8"), (
        "docs/OPERATIONS.md: python -c 'from hub.config.flags import table; print(table())'"
    )


def test_the_defaults_are_for_development_on_loopback() -> None:
    settings = load({})
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.development
    assert settings.offers_test_endpoint
    assert settings.log.startswith("sqlite:///")
    assert settings.limits == Limits()


def test_the_default_log_does_not_depend_on_the_variable_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    default = load({}).log
    monkeypatch.setenv("PLANCAST_LOG", "redis://elsewhere/0")
    assert load({}).log == default
    assert load({"PLANCAST_LOG": "sqlite:////given.db"}).log == "sqlite:////given.db"


def test_a_flag_overrides_its_variable_and_that_the_default() -> None:
    environ = {"PLANCAST_PORT": "9000", "PLANCAST_WORKERS": "2"}
    settings = load(environ, parsed("--port", "9001"))
    assert (settings.port, settings.workers, settings.host) == (9001, 2, "127.0.0.1")


def test_an_empty_variable_counts_as_unset_but_an_empty_flag_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert load({"PLANCAST_PORT": "", "PLANCAST_AUTH_SECRET": " "}) == load({})
    with pytest.raises(SystemExit):
        parsed("--port", "")
    assert "--port: expected a whole number" in capsys.readouterr().err


@pytest.mark.parametrize(("argv", "insecure"), [([], False), (["--insecure"], True), (["--insecure", "no"], False)])
def test_a_switch_is_on_when_it_is_named(argv: list[str], insecure: bool) -> None:
    assert load({}, parsed(*argv)).insecure is insecure


def test_a_command_takes_the_flags_of_the_groups_it_needs() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, "engine")
    wanted = {"help", "templates", "engine_db", "model", "pace", "lease", "plans_at_once", "tracebacks"}
    assert {action.dest for action in parser._actions} == wanted
    assert load({"PLANCAST_PORT": "9000"}, parser.parse_args(["--pace", "0"])).pace == 0


def test_help_names_flag_default_and_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--help")
    told = " ".join(capsys.readouterr().out.split())
    for at in fields(Settings):
        assert ("--" + at.name.replace("_", "-") in told) == (at.metadata["group"] != "worker")
    assert "[8000; PLANCAST_PORT]" in told


def test_workers_have_flags_of_their_own() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, "worker")
    assert {action.dest for action in parser._actions} == {"help", "probe_host", "probe_port"}
    assert load({"PLANCAST_PROBE_PORT": "0"}, parser.parse_args(["--probe-host", "::"])).probe_port == 0
    assert load({}).probe_port is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "99999", "'99999'"),
        ("PORT", "8000.0", "'8000.0'"),
        ("PORT", "9" * 5000, "'999999999999999999999999999999999999999…'"),
        ("PORT", "²", "65,535"),
        ("WORKERS", "0", "256"),
        ("PACE", "nan", "'nan'"),
        ("PACE", "inf", "'inf'"),
        ("AUTH_LEEWAY", "61", "60"),
        ("RING_BYTES", "1K", "256 MiB"),
        ("RING_BYTES", "1 parsec", "'1 parsec'"),
        ("INSECURE", "perhaps", "'perhaps'"),
        ("LOGS", "xml", "auto, json, text"),
        ("HOST", "a\nb", ""),
        ("PROXIES", "10.0.0.5,nginx", "'nginx'"),
        ("PROXIES", "10.0.0.5/8", "'10.0.0.5/8'"),
        ("AUTH_SECRET", "short", "5 bytes"),
        ("AUTH_SECRET", "@/nowhere/at/all", "/nowhere/at/all"),
        ("AUTH_SECRET", "@~nobody-here/secret", "~nobody-here/secret"),
        ("RUN_DIRECTORY", "~nobody-here/run", "~nobody-here/run"),
        ("ORIGINS", "https://a.example, *", "'*'"),
    ],
)
def test_an_invalid_value_is_reported_in_one_line_with_its_name(name: str, value: str, said: str) -> None:
    with pytest.raises(BadSetting) as refused:
        load({f"PLANCAST_{name}": value})
    told = str(refused.value)
    assert told.startswith(f"PLANCAST_{name}: ")
    assert said in told
    assert "\n" not in told


@given(st.sampled_from([at.name for at in fields(Settings)]), st.text(max_size=40))
def test_no_value_fails_in_another_way(name: str, value: str) -> None:
    try:
        said = repr(load({variable(name): value}))
    except BadSetting as refused:
        said = str(refused)
    assert said.startswith(("Settings(", "PLANCAST_"))


@pytest.mark.parametrize(
    ("value", "size"), [("65536", 65536), ("64k", 65536), ("64 KiB", 65536), ("1M", 1 << 20), ("65_536", 65536)]
)
def test_sizes_accept_units(value: str, size: int) -> None:
    assert load({"PLANCAST_RING_BYTES": value}).ring_bytes == size


def test_settings_of_limits_are_in_the_limits() -> None:
    limits = load(
        {
            "PLANCAST_MAX_CONNECTIONS": "11",
            "PLANCAST_MAX_CONNECTIONS_PER_ADDRESS": "12",
            "PLANCAST_MAX_CONNECTIONS_PER_PRINCIPAL": "13",
            "PLANCAST_MAX_SUBSCRIPTIONS": "1000",
            "PLANCAST_MAX_PLANS": "15",
            "PLANCAST_MAX_PLANS_PER_ADDRESS": "16",
            "PLANCAST_MAX_PLANS_PER_PRINCIPAL": "14",
            "PLANCAST_REQUESTS_PER_SECOND_PER_ADDRESS": "22",
            "PLANCAST_REQUESTS_PER_SECOND_PER_PRINCIPAL": "23",
            "PLANCAST_MAX_FRAME_BYTES": "1M",
            "PLANCAST_FRAMES_PER_SECOND": "17",
            "PLANCAST_IDLE_SECONDS": "18",
            "PLANCAST_SLOW_SECONDS": "19",
            "PLANCAST_OUTLET_BYTES": "20K",
            "PLANCAST_OUTLET_TOTAL_BYTES": "21M",
            "PLANCAST_RING_BYTES": "100k",
        }
    ).limits
    session, connections, outlet = limits.session, limits.connections, limits.outlet
    assert (connections.total, connections.per_address, connections.per_principal) == (11, 12, 13)
    assert (session.subscriptions, session.frames_burst) == (1000, 2000)
    assert (limits.requests.per_address, limits.requests.per_principal) == (22, 23)
    assert limits.plans == PlanLimits(per_address=16, per_principal=14, total=15)
    assert (session.frame_bytes, session.bytes_burst) == (1 << 20, 2 << 20)
    assert (session.frames_per_second, session.idle_seconds, outlet.slow_seconds) == (17, 18, 19)
    assert (outlet.high_water, outlet.low_water, limits.written_total) == (20 << 10, 5 << 10, 21 << 20)
    assert limits.channel == ChannelLimits(ring_bytes=100 << 10)


@pytest.mark.parametrize(
    ("environ", "development", "test_endpoint"),
    [
        ({}, True, True),
        ({"TEST_ENDPOINT": "no"}, True, False),
        ({"HOST": "0.0.0.0", "INSECURE": "yes"}, False, False),
        ({"INSECURE": "yes"}, False, False),
        ({"AUTH_SECRET": SECRET}, False, False),
        ({"AUTH_SECRET": SECRET, "TEST_ENDPOINT": "yes"}, False, True),
    ],
)
def test_development_features_are_off_elsewhere(
    environ: dict[str, str], development: bool, test_endpoint: bool
) -> None:
    settings = load({f"PLANCAST_{name}": value for name, value in environ.items()})
    assert (settings.development, settings.offers_test_endpoint) == (development, test_endpoint)


def test_a_secret_is_read_from_a_file_without_its_line_break(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    secret = load({"PLANCAST_AUTH_SECRET": f"@{tmp_path / 'secret'}"}).auth_secret
    assert secret == Secret(SECRET.encode())
    assert secret is not None
    assert secret.reveal() == SECRET.encode()


def test_settings_are_shown_without_secrets() -> None:
    settings = load({"PLANCAST_AUTH_SECRET": SECRET, "PLANCAST_LOG": "redis://hub:swordfish@10.0.0.1/0"})
    for told in (repr(settings), str(settings), f"{settings}", repr(vars_of(settings))):
        assert SECRET not in told
    assert "swordfish" not in repr(settings)
    assert "redis://hub:***@10.0.0.1/0" in repr(settings)


def vars_of(settings: Settings) -> dict[str, object]:
    return {at.name: getattr(settings, at.name) for at in fields(settings) if at.name != "log"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:pw@h:1/0", "redis://:***@h:1/0"),
        ("rediss://u:p%40w@h", "rediss://u:***@h"),
        ("redis+sentinel://u:pw@a:1,b:2/0", "redis+sentinel://u:***@a:1,b:2/0"),
        (
            "redis+sentinel://u:pw@a/b?sentinel_password=p%w&ttl=9",
            "redis+sentinel://u:***@a/b?sentinel_password=***&ttl=9",
        ),
        ("postgresql://h/db?password=pw", "postgresql://h/db?password=***"),
        ("redis://h", "redis://h"),
        ("sqlite:////a/b", "sqlite:////a/b"),
        ("not a url [", "not a url ["),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_help_shows_what_a_value_looks_like(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--help")
    text = capsys.readouterr().out
    for flag in ("--port N", "--log URL", "--model MODEL", "--outlet-bytes SIZE", "--engine auto|off|embedded|remote"):
        assert flag in text


def test_an_unknown_variable_is_reported_with_the_most_similar_one() -> None:
    environ = {
        "PLANCAST_AUTH_SECRT": "x",
        "PLANCAST_XYZZY_QUUX": "x",
        "PLANCAST_PORT": "1",
        "PLANCAST_TOKEN": "x",
        "OTHER": "x",
    }
    assert unknown_variables(environ) == {"PLANCAST_AUTH_SECRT": "PLANCAST_AUTH_SECRET", "PLANCAST_XYZZY_QUUX": None}
