"""The secrets file gains what it lacks, loses nothing, and is judged without being shown."""

from __future__ import annotations

import copy
import os
from datetime import timedelta
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.plugin_utils import input_files, pki, secrets
from ansible_collections.slipway.compose.plugins.plugin_utils.minting import complete
from cryptography import x509


@pytest.fixture
def stack(definition, hosts):
    definition["secrets"] = {"session_key": {"generate": 32}, "mail_password": None}
    definition["services"]["web"] |= {"secrets": ["session_key", "mail_password"], "database": "shop"}
    return parse_stack(definition, hosts)


@pytest.fixture
def minted(stack, now):
    return complete({}, stack, "production", now)


def test_everything_that_can_be_generated_is(minted):
    assert minted.added == (
        "platform/edge_probe",
        "platform/postgres_superuser",
        "platform/postgres_replication",
        "platform/postgres_monitor",
        "platform/patroni_api",
        "platform/redis",
        "platform/redis_admin",
        "platform/redis_monitor",
        "platform/console_password",
        "platform/console_cookie",
        "platform/database_shop",
        "user/session_key",
        "pki/ca",
        "pki/certificates/app-1.example.com (new)",
        "pki/certificates/app-2.example.com (new)",
        "pki/certificates/app-3.example.com (new)",
        "pki/certificates/edge (new)",
    )
    assert len(minted.document["user"]["session_key"]) == 64


def test_a_second_run_adds_nothing(minted, stack, now):
    again = complete(minted.document, stack, "production", now + timedelta(days=300))
    assert again.added == ()
    assert again.document == minted.document


def test_the_edges_certificate_only_serves_and_one_that_also_calls_is_made_anew(minted, stack, now):
    document = copy.deepcopy(minted.document)
    certificates = document["pki"]["certificates"]
    pairs = secrets.pairs(document)
    # As earlier versions made it.
    earlier = pki.issue(secrets.ca(document), ["shop.example.com"], now)
    certificates["edge"] = {"certificate": earlier.certificate, "key": earlier.key}
    again = complete(document, stack, "production", now)
    assert again.added == ("pki/certificates/edge (its purposes changed)",)
    for name, pair in (*pairs.items(), *secrets.pairs(again.document).items()):
        found = x509.load_pem_x509_certificate(pair.certificate.encode())
        purposes = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert set(purposes) == set(pki.SERVES if name == "edge" else pki.SERVES_AND_CALLS), name


def test_what_is_there_is_kept(stack, now):
    given = {
        "platform": {"redis": "mine"},
        "user": {"unknown": "kept", "session_key": "mine"},
        "notes": "kept",
    }
    before = copy.deepcopy(given)
    document = complete(given, stack, "production", now).document
    assert given == before
    assert document["notes"] == "kept"
    assert document["user"] == before["user"]
    assert document["platform"]["redis"] == "mine"


def test_an_environment_gains_what_earlier_versions_did_not_know_and_keeps_the_rest(minted, stack, now):
    document = copy.deepcopy(minted.document)
    del document["platform"]["redis_monitor"]
    again = complete(document, stack, "production", now)
    assert again.added == ("platform/redis_monitor",)
    assert again.document["platform"].items() > document["platform"].items()


def test_only_certificates_near_their_end_are_replaced(minted, stack, now):
    late = complete(minted.document, stack, "production", now + timedelta(days=380))
    assert len(late.added) == 4
    assert all("(it ends on 2027-07-04)" in line for line in late.added)
    assert late.document["platform"] == minted.document["platform"]


def test_nothing_is_made_for_parts_that_are_switched_off(definition, hosts, now):
    definition["components"] = {"postgres": False, "redis": False, "console": False}
    document = complete({}, parse_stack(definition, hosts), "staging", now).document
    assert document["platform"].keys() == {"edge_probe"}


def test_a_hosts_certificate_has_every_name_its_peers_use(minted):
    pair = minted.document["pki"]["certificates"]["app-1.example.com"]
    extensions = x509.load_pem_x509_certificate(pair["certificate"].encode()).extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == [
        "app-1.example.com",
        "app-1",
        "192.0.2.11",
        "localhost",
        "127.0.0.1",
        "postgres",
        "redis",
    ]


def test_hosts_get_everything_but_the_authoritys_key(minted, stack, tmp_path):
    keyring = secrets.material(stack, minted.document, tmp_path)
    assert set(keyring.certificates) == {"edge", *(host.name for host in stack.hosts)}
    assert keyring.secrets["redis"] == minted.document["platform"]["redis"]
    assert minted.document["pki"]["ca"]["key"] not in repr(keyring)


def test_the_edge_shows_the_certificate_the_user_supplies(definition, hosts, now, tmp_path):
    theirs = pki.issue(pki.new_ca("Theirs", now), ["shop.example.com"], now)
    (tmp_path / "c").write_text(theirs.certificate)
    (tmp_path / "k").write_text(theirs.key)
    definition["components"] = {"edge": {"tls": {"certificate": "c", "key": "k"}}}
    stack = parse_stack(definition, hosts)
    minted = complete({}, stack, "production", now)
    assert "edge" not in minted.document["pki"]["certificates"]
    keyring = secrets.material(stack, minted.document, tmp_path)
    assert keyring.certificates["edge"] == (theirs.certificate, theirs.key)


def test_a_key_that_nobody_here_may_read_is_named(definition, hosts, now, tmp_path, monkeypatch):
    (tmp_path / "c").write_text("a certificate")
    (tmp_path / "k").write_text("a key")
    definition["components"] = {"edge": {"tls": {"certificate": "c", "key": "k"}}}
    stack = parse_stack(definition, hosts)
    # Root, as whom tests may run, may read everything.
    monkeypatch.setattr(os, "access", lambda path, _mode: path.name != "k")
    assert secrets.supplied(stack, tmp_path) is None
    (problem,) = input_files.problems(stack, tmp_path, now)
    assert str(problem).startswith("stack/components/edge/tls/key: k is not a file that you may read")


def test_an_incomplete_file_is_no_material(stack, tmp_path):
    with pytest.raises(SlipwayError, match="lacks the CA. Run playbooks/secrets.yml"):
        secrets.material(stack, {}, tmp_path)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        pytest.param({}, "f/user/mail_password: is missing. Run playbooks/secrets.yml", id="missing"),
        pytest.param({"mail_pasword": "x" * 20}, "Did you mean mail_pasword?", id="misspelt"),
        pytest.param({"mail_password": "hunter2"}, "is shorter than 8 characters", id="short"),
        pytest.param({"mail_password": "Change-Me-now-or-later"}, "is easily guessed", id="a-placeholder"),
        pytest.param({"mail_password": "abababababababababab"}, "is easily guessed", id="a-pattern"),
        pytest.param(
            {"mail_password": 1234567890123456}, "is a number, not text. Put it in quotes", id="a-number"
        ),
    ],
)
def test_a_users_secret_that_will_not_do(stack, user, expected):
    (problem,) = secrets.problems({"user": user}, stack, "f")
    assert expected in str(problem)
    assert not any(str(value) in str(problem) for value in user.values())


@pytest.mark.parametrize("given", ["s3cure-and-long-enough", "aT9x-2kq"])
def test_secrets_that_will_do(minted, stack, given):
    minted.document["user"]["mail_password"] = given
    assert list(secrets.problems(minted.document, stack, "f")) == []


def test_what_is_made_here_is_longer_than_what_others_issue(minted, stack):
    minted.document["user"] |= {"session_key": "aT9x-2kq", "mail_password": "aT9x-2kq"}
    (problem,) = secrets.problems(minted.document, stack, "f")
    assert "is shorter than 16 characters" in str(problem)


def encrypted(text: str, password: bytes) -> bytes:
    return bytes(VaultLib([("default", VaultSecret(password))]).encrypt(text))


def loader(password: bytes) -> DataLoader:
    found = DataLoader()
    found.set_vault_secrets([("default", VaultSecret(password))])
    return found


def test_a_saved_file_reads_back_and_is_the_owners_alone(tmp_path):
    path = tmp_path / "new" / "secrets.vault.yml"
    secrets.save(path, encrypted("user: {a: b}", b"right"))
    document = secrets.load(path, loader(b"right"))
    assert document == {"user": {"a": "b"}}
    assert type(document["user"]["a"]) is str
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_there_need_not_be_a_file(tmp_path):
    assert secrets.load(tmp_path / "none", loader(b"right")) == {}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"user: {a: hunter2}", "is not encrypted. Encrypt it", id="plain-text"),
        pytest.param(
            encrypted("user: {}", b"wrong"), "cannot be read.*Put the password", id="another-password"
        ),
        pytest.param(encrypted("user: [hunter2", b"right"), "cannot be read", id="broken-yaml"),
        pytest.param(encrypted("[hunter2]", b"right"), "is not laid out as a secrets file", id="a-list"),
        pytest.param(encrypted("pki: {ca: hunter2}", b"right"), "is not laid out", id="text-for-a-table"),
    ],
)
def test_a_file_that_will_not_do(tmp_path, content, expected):
    path = tmp_path / "secrets.vault.yml"
    path.write_bytes(content)
    with pytest.raises(SlipwayError, match=expected) as caught:
        secrets.load(path, loader(b"right"))
    assert not isinstance(caught.value, AnsibleError)
    assert "hunter2" not in str(caught.value)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "secrets.vault.yml"
    secrets.save(path, b"old")

    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        secrets.save(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
