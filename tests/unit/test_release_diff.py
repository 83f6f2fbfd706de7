"""What a dry run shows of a host's files, and what nobody may read of them."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.compose.plugins.action.stack_release import confidential, secret_texts
from ansible_collections.slipway.compose.plugins.module_utils._core.archive.archive_layout import password
from ansible_collections.slipway.compose.plugins.module_utils._core.release.release_diff import (
    file_changes,
    unified,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.module_utils._core.tree import File
from ansible_collections.slipway.compose.plugins.plugin_utils.render import Material, render
from whole_stack import (
    IMAGES,
    SECRETS,
    stack,
    with_alerts,
    with_archive,
    with_console,
    with_log_exports,
    with_traces,
)

STACK = with_console(with_alerts(with_archive(stack(3))))
OLD_KEY = "-----BEGIN PRIVATE KEY-----\nold-first-line\nold-second-line\n-----END PRIVATE KEY-----\n"
NEW_KEY = OLD_KEY.replace("old", "new")


def material(secrets: dict[str, str], key: str) -> Material:
    images = {name: f"registry.test/{name}@sha256:0" for name in [*IMAGES, *STACK.services]}
    names = [*(host.name for host in STACK.hosts), "edge"]
    return Material(images, secrets, "CA", dict.fromkeys(names, ("CERTIFICATE", key)), {})


def diff(before: Material, after: Material, base: Stack = STACK) -> str:
    laid = topology(base)
    view = laid.views["h3.test"]
    old, new = render(laid, view, before), render(laid, view, after)
    return unified(file_changes(old, new), confidential(new, secret_texts(after)))


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_that_is_rotated_is_seen_neither_before_nor_after(name: str) -> None:
    old, new = f"old-value-of-{name}", f'new "value"\nof {name}'
    told = diff(material({**SECRETS, name: old}, OLD_KEY), material({**SECRETS, name: new}, OLD_KEY))
    for text in (old, old.encode().hex(), new, *new.splitlines(), new.encode().hex()):
        assert text not in told, told


def test_a_password_that_is_derived_from_a_secret_is_not_seen_either() -> None:
    old = {**SECRETS, "archive_password": "another"}
    told = diff(material(old, OLD_KEY), material(SECRETS, OLD_KEY))
    assert "config/host/archive/redis.password changes; it holds secrets and is not shown" in told
    assert not any(password(it["archive_password"], "redis") in told for it in (old, SECRETS))


@pytest.mark.parametrize(
    ("base", "file"),
    [
        (with_traces(stack(3)), "config/collector/collector.yml"),
        (with_log_exports(stack(3)), "config/host/log-exports/loki.json"),
    ],
    ids=["traces", "logs"],
)
def test_headers_that_a_secret_holds_are_seen_neither_before_nor_after(base: Stack, file: str) -> None:
    old, new = (
        {**SECRETS, "trace_headers": f"X-Scope: a\nDD-API-KEY: {age}-$key\n"} for age in ("old", "newer")
    )
    told = diff(material(old, OLD_KEY), material(new, OLD_KEY), base)
    assert f"{file} changes; it holds secrets and is not shown" in told
    assert "key" not in told.lower()


def test_the_hash_of_a_login_is_not_seen() -> None:
    told = diff(material({**SECRETS, "console_password": "another-one"}, OLD_KEY), material(SECRETS, OLD_KEY))
    assert "config/console/users changes; it holds secrets and is not shown" in told
    assert "$6$" not in told


def test_a_key_that_is_renewed_is_seen_neither_before_nor_after() -> None:
    told = diff(material(SECRETS, OLD_KEY), material(SECRETS, NEW_KEY))
    assert "second-line" not in told
    assert "config/redis/tls/tls.key changes; it holds secrets and is not shown" in told


def test_what_holds_no_secret_is_shown() -> None:
    old = [File("config/edge/nginx.conf", "worker_processes 1;\n", 0o400, 0)]
    new = [File("config/edge/nginx.conf", "worker_processes 2;\n", 0o400, 0)]
    assert "+worker_processes 2;" in unified(file_changes(old, new), confidential(new, {"a-secret-text"}))


def test_of_a_stored_release_and_of_a_file_that_goes_no_content_is_shown() -> None:
    old = [File("config/redis/redis.conf", "requirepass once\n", 0o400, 0)]
    new = [File("config/redis/redis.conf", "requirepass now\n", 0o400, 0)]
    assert "requirepass" not in unified(file_changes(old, new), ["config/"])
    assert unified(file_changes(old, []), []).startswith("config/redis/redis.conf goes; ")
