"""The program beside PostgreSQL that keeps a site from serving when the other one was promoted later."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.compose.plugins.plugin_utils.render import COMPOSE_FOLDER
from whole_stack import rendered, stack, with_other_site


def guard() -> Any:
    spec = importlib.util.spec_from_file_location("site_guard", COMPOSE_FOLDER / "config/postgres/site.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("own", "others", "left"),
    [
        pytest.param({}, 100, True, id="a-first-site-that-the-other-was-promoted-over"),
        pytest.param({"slipway": {"promoted": 200}}, 100, False, id="the-later-one-of-two"),
        pytest.param({"standby_cluster": {"host": "a"}}, 100, False, id="one-that-follows"),
        pytest.param({}, None, False, id="one-that-hears-of-no-other-primary"),
        pytest.param({}, 0, False, id="two-that-were-never-promoted"),
        pytest.param({"slipway": {"others": 100}}, None, True, id="one-that-remembers-what-it-cannot-ask"),
        pytest.param({"slipway": {"others": 100, "promoted": 101}}, None, False, id="one-that-was-next"),
    ],
)
def test_a_site_is_left_when_the_other_was_promoted_later(own: Any, others: int | None, left: bool) -> None:
    assert guard().left(own, others) is left


def test_the_guard_asks_every_member_until_one_is_a_primary() -> None:
    def get(url: str) -> tuple[int, bytes]:
        if url.startswith("https://dead"):
            raise OSError
        if url.startswith("https://replica"):
            return 503, b""
        return 200, b'{"slipway": {"promoted": 7}}' if url.endswith("/config") else b"{}"

    asked = guard().others_promotion(["https://dead", "https://replica", "https://primary"], get)
    assert asked == 7
    assert guard().others_promotion(["https://dead", "https://replica"], get) is None


@pytest.mark.parametrize(
    ("answers", "serves"),
    [
        ({"primary": 200, "health": 200}, True),
        # Paused and stopped, as a site is that hands over: it has the leader's key all the same.
        ({"primary": 200, "health": 503}, False),
        ({"primary": 503, "health": 200}, False),
    ],
)
def test_who_has_the_leaders_key_and_no_server_serves_nobody(
    answers: dict[str, int], serves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = guard()
    monkeypatch.setattr(it, "get", lambda url: (answers[url.rpartition("/")[2]], b""))
    assert it.serves() is serves


@pytest.mark.parametrize(
    ("own", "kept", "others", "news"),
    [
        pytest.param(
            {"standby_cluster": {"host": "a"}}, {}, 50, {"others": 50}, id="who-follows-notes-the-other"
        ),
        pytest.param(
            {"standby_cluster": {"host": "a"}, "slipway": {"others": 50}},
            {},
            50,
            {},
            id="what-is-noted-is-not-news",
        ),
        pytest.param(
            {}, {"slipway": {"promoted": 70}}, None, {"promoted": 70}, id="a-restored-one-recalls-its-own"
        ),
        pytest.param(
            {"slipway": {"promoted": 90}}, {"slipway": {"promoted": 70}}, 5, {}, id="an-older-copy-is-none"
        ),
    ],
)
def test_a_site_notes_what_its_settings_do_not_say(
    own: Any, kept: Any, others: int | None, news: Any
) -> None:
    assert guard().learned(own, kept, others) == news


def test_what_is_kept_in_the_volume_only_grows(tmp_path: Path) -> None:
    it, path = guard(), tmp_path / "promotions.json"
    it.keep({}, path)
    assert not path.exists()
    for told in ({"promoted": 70}, {"others": 40}, {"promoted": 60}):
        it.keep({"slipway": told}, path)
    assert it.read(path) == {"slipway": {"promoted": 70, "others": 40}}
    path.write_text("{")
    assert it.read(path) == {}


def test_a_cluster_of_one_of_two_sites_is_rebuilt_only_where_the_other_does_not_serve() -> None:
    lines = rendered(with_other_site(stack(), follow=False))["config/postgres/rebuild.sh"].splitlines()
    assert lines[-4:-2] == ["python3 /config/site.py alone", "false"]
    assert lines[-1] == "exec python3 /config/site.py recall"
    assert "site.py" not in rendered(stack())["config/postgres/rebuild.sh"]
