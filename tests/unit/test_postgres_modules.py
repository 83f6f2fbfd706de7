"""The modules that send SQL: who acts, what is predicted, and what is returned."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.compose.plugins.modules import database, migrate

LEADER, FOLLOWER = (0, "leader\n", ""), (0, "follower\n", "")
ABSENT = (1, "", "Error response from daemon: No such container: shop-postgres-1")


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """A module's answer where psql gives these answers, one after another; `asked` collects its scripts."""
    (tmp_path / "000001_one.up.sql").write_text("SELECT 1;")
    (tmp_path / "000001_one.down.sql").write_text("SELECT 1;")

    def call(module, *answers, asked=None, users=None, **arguments):
        left = list(answers)

        def run_command(_self, argv, data=None, **_):
            if asked is not None:
                asked.append(data)
            if users is not None:
                users.append(argv[argv.index("-U") + 1])
            return left.pop(0)

        monkeypatch.setattr(AnsibleModule, "run_command", run_command)
        # Where the controller is loaded too, as by other tests, a warning goes to its display.
        monkeypatch.setattr(AnsibleModule, "warn", lambda _self, text: call.warnings.append(text))
        common = {"container": "shop-postgres-1", "wait": 0}
        if module is migrate:
            common |= {"database": "shop", "directory": str(tmp_path)}
        with patch_module_args({**common, **arguments}), pytest.raises(SystemExit):
            module.main()
        assert left == []
        return json.loads(capsys.readouterr().out)

    call.warnings = []
    return call


@pytest.mark.parametrize("module", [database, migrate])
class TestBoth:
    def test_do_nothing_where_the_member_follows(self, call, module):
        found = call(module, FOLLOWER)
        assert (found["changed"], found["leader"], found["steps"]) == (False, False, [])

    def test_predict_nothing_where_nothing_is_deployed_yet(self, call, module):
        found = call(module, ABSENT, _ansible_check_mode=True)
        assert not found["changed"] and not found["leader"]
        assert "no container shop-postgres-1" in call.warnings[0]

    def test_fail_where_something_should_have_been_deployed(self, call, module):
        found = call(module, ABSENT)
        assert found["failed"] and found["remedy"] == "Deploy this host first, or correct `container`"


def test_migrate_predicts_a_first_deployment_before_its_database_exists(call):
    found = call(migrate, LEADER, (0, "f\n", ""), _ansible_check_mode=True)
    assert found["steps"] == ["apply 000001_one.up.sql"] and found["level"] == 0
    assert found["diff"]["after"] == "apply 000001_one.up.sql\n"


def test_migrate_runs_as_the_databases_own_role_unless_told_otherwise(call):
    for arguments, role in (({}, "shop"), ({"owner": "other"}, "other")):
        users = []
        done = (0, "slipway:done\nslipway:ledger []\n", "")
        cut = (3, "", "ERROR:  42601: enough\n")
        call(migrate, LEADER, (0, "", ""), done, cut, users=users, **arguments)
        # Who leads and what the ledger says any member tells the superuser; files are run by their owner.
        assert users == ["postgres", "postgres", role, role]


def test_migrate_judges_where_the_owner_is_not_let_in(call):
    """A member as an earlier version left it: before this one is deployed, or after a rollback."""
    for state in ("planned", "permitted"):
        users = []
        found = call(migrate, LEADER, (0, "t\n", ""), (0, "", ""), users=users, state=state)
        assert found["judged"] and users == ["postgres"] * 3


def test_migrate_says_what_to_do_where_the_owner_is_not_let_in(call):
    refused = 'psql: error: … FATAL:  no pg_hba.conf entry for host "[local]", user "shop", database "shop"\n'
    found = call(migrate, LEADER, (0, "", ""), (2, "", refused))
    assert "does not let shop in: no pg_hba.conf entry" in found["msg"]
    assert found["remedy"].startswith("Deploy this version")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"lock_timeout": "5"}, "lock_timeout is '5'"),
        ({"statement_timeout": "1 hour"}, "statement_timeout is '1 hour'"),
    ],
)
def test_migrate_refuses_durations_before_it_asks_anything(call, arguments, told):
    assert told in call(migrate, **arguments)["msg"]


def test_migrate_refuses_a_target_that_is_not_in_the_folder(call):
    assert "target '7' is no migration" in call(migrate, LEADER, target="7")["msg"]


def test_database_predicts_without_sending_a_change(call):
    asked = []
    roles = [{"name": "shop", "password": "s3cret-password", "settings": {"jit": False}}]
    answers = [LEADER, (0, "{}\n", ""), (0, "{}\n", "")]
    found = call(database, *answers, asked=asked, roles=roles, _ansible_check_mode=True)
    assert found["steps"] == ["create role shop", "set password of role shop", "set jit = off for role shop"]
    assert "CREATE ROLE" not in "".join(asked)


def test_database_sends_a_verifier_and_never_the_password(call):
    asked = []
    roles = [{"name": "shop", "password": "s3cret-password"}]
    found = call(
        database, LEADER, (0, "{}\n", ""), (0, "{}\n", ""), (0, "0\n1\n", ""), asked=asked, roles=roles
    )
    assert found["changed"]
    assert "s3cret-password" not in "".join(asked)
    assert "SET log_statement = 'none';" in asked[-1] and "PASSWORD 'SCRAM-SHA-256$4096:" in asked[-1]


def test_database_names_the_change_that_failed(call):
    failed = (3, "0\n1\n", "ERROR:  42501: permission denied\nDETAIL:  x\n")
    roles = [{"name": "shop", "password": "s3cret-password"}]
    found = call(database, LEADER, (0, "{}\n", ""), (0, "{}\n", ""), failed, roles=roles)
    assert found["msg"].startswith("cannot set password of role shop: permission denied 42501.")
