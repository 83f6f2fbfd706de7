from __future__ import annotations

from pathlib import Path

import pytest
from wayfare.__main__ import main
from wayfare.errors import InvalidSettingsError
from wayfare.settings import Settings

ALL = ("database", "redis", "session_key")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    files = {"password": "secret\n", "ca.crt": "PEM", "session_key": "k" * 32}
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    return {
        "DATABASE_HOST": "postgres",
        "DATABASE_PORT": "5432",
        "DATABASE_READ_PORT": "5433",
        "DATABASE_NAME": "wayfare",
        "DATABASE_USER": "wayfare",
        "DATABASE_PASSWORD_FILE": str(tmp_path / "password"),
        "DATABASE_CA_FILE": str(tmp_path / "ca.crt"),
        "REDIS_HOST": "redis",
        "REDIS_PORT": "6379",
        "REDIS_PASSWORD_FILE": str(tmp_path / "password"),
        "REDIS_CA_FILE": str(tmp_path / "ca.crt"),
        "SESSION_KEY_FILE": str(tmp_path / "session_key"),
        "SLIPWAY_POOL": "green",
    }


def test_a_complete_environment_is_understood(environment: dict[str, str]) -> None:
    settings = Settings.parse(environment, "api", ALL)
    assert settings.database is not None
    assert (settings.database.port, settings.database.read_port, settings.database.password) == (
        5432,
        5433,
        "secret",
    )
    assert (settings.identity.service, settings.identity.pool) == ("api", "green")
    assert settings.journeys_target is None


def test_secrets_do_not_show_when_settings_are_printed(environment: dict[str, str]) -> None:
    printed = repr(Settings.parse(environment, "api", ALL))
    assert "'secret'" not in printed
    assert "kkkk" not in printed


def test_web_needs_nothing() -> None:
    assert Settings.parse({}, "web", ()).database is None


def test_everything_missing_is_named_at_once() -> None:
    with pytest.raises(InvalidSettingsError) as refused:
        Settings.parse({}, "api", ALL)
    assert str(refused.value).count("is not set") == 12


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DATABASE_PORT", "0", "use a port from 1 to 65535"),
        ("REDIS_PORT", "²", "use a port from 1 to 65535"),
        ("LOG_LEVEL", "chatty", "use one of DEBUG"),
        ("JOURNEYS_TARGET", "journeys", "use host:port"),
        ("JOURNEYS_TARGET", "journeys:99999", "use host:port"),
        ("WAYFARE_DRAIN_DELAY", "nan", "use a number from 0 to 60"),
        ("SESSION_KEY_FILE", "/nowhere", "No such file"),
        ("MISBEHAVE", "explode", "is no switch"),
    ],
)
def test_a_wrong_value_is_refused_with_a_remedy(
    environment: dict[str, str], name: str, value: str, said: str
) -> None:
    with pytest.raises(InvalidSettingsError) as refused:
        Settings.parse(environment | {name: value}, "api", ALL)
    assert name in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"), [(b"\n", "empty"), (b"short", "at least 32"), (b"\xff" * 40, "not text")]
)
def test_a_bad_session_key_is_refused(environment: dict[str, str], content: bytes, said: str) -> None:
    Path(environment["SESSION_KEY_FILE"]).write_bytes(content)
    with pytest.raises(InvalidSettingsError, match=said):
        Settings.parse(environment, "api", ALL)


@pytest.mark.parametrize("arguments", [[], ["serve"], ["web", "api"]])
def test_an_unknown_command_is_answered_with_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 64
    assert "usage: wayfare web | api | updates | journeys" in capsys.readouterr().err


def test_errors_are_reported_where_the_environment_says_and_nowhere_else(tmp_path: Path) -> None:
    assert Settings.parse({}, "web", ()).sentry is None
    plain = Settings.parse(
        {"SENTRY_DSN": "https://3f2a@a/1", "SENTRY_RELEASE": "shop@77aa"}, "web", ()
    ).sentry
    assert plain is not None
    assert (plain.dsn, plain.release, plain.ca_file) == ("https://3f2a@a/1", "shop@77aa", None)
    (tmp_path / "dsn").write_text("https://77bb@b/2\n")
    hidden = Settings.parse({"SENTRY_DSN_FILE": str(tmp_path / "dsn")}, "web", ()).sentry
    assert hidden is not None and hidden.dsn == "https://77bb@b/2" and "77bb" not in repr(hidden)


def test_a_dsn_that_cannot_be_read_is_named() -> None:
    with pytest.raises(InvalidSettingsError, match="SENTRY_DSN_FILE names /nowhere, which cannot be read"):
        Settings.parse({"SENTRY_DSN_FILE": "/nowhere"}, "web", ())
