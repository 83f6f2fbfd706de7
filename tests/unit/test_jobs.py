"""Jobs: once a release, never twice at once, ended at their deadline; on an engine that remembers."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import (
    InvalidInputError,
    SlipwayError,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.release.job_run import HostJobs
from ansible_collections.slipway.compose.plugins.module_utils._core.release.jobs import (
    declared,
    done,
    job_lines,
    job_moves,
    pending,
    record_done,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Job
from ansible_collections.slipway.compose.plugins.module_utils._core.tree import File, ReleaseTree
from whole_stack import rendered, stack, with_service

WARM = Job("warm", "web", ("warm",), "before_traffic", 60)
BEGIN = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Docker:
    """Containers of jobs by name. `lasts`: seconds until one ends, `status`: with which it does."""

    def __init__(self, lasts=3, status=0):
        self.now, self.lasts, self.status = BEGIN, lasts, status
        self.containers, self.started = {}, []

    def sleep(self, seconds):
        self.now += timedelta(seconds=seconds)

    def leave(self, release, ago, lasts=None, status=0, state=""):
        """One that a run before has started."""
        started = self.now - timedelta(seconds=ago)
        self.containers["shop-job-warm"] = {
            "release": release,
            "begin": started,
            "lasts": self.lasts if lasts is None else lasts,
            "status": status,
            "state": state,
        }

    def __call__(self, argv, stdin=None):
        words = list(argv)
        if words[:2] == ["docker", "ps"]:
            assert "label=com.docker.compose.project=shop" in words
            return (
                0,
                "".join(f"{name}\tshop/warm\t{it['release']}\n" for name, it in self.containers.items()),
                "",
            )
        if words[:2] == ["docker", "inspect"]:
            it = self.containers[words[-1]]
            over = (self.now - it["begin"]).total_seconds() >= it["lasts"]
            state = it["state"] or ("exited" if over else "running")
            return 0, f"{state}\t{it['status'] if over else 0}\tfalse\t{it['begin'].isoformat()}\n", ""
        if words[:2] == ["docker", "logs"]:
            return 0, "11 places\n", "and a warning\n"
        if words[:2] == ["docker", "stop"]:
            it = self.containers[words[-1]]
            it["lasts"], it["status"] = (
                min(it["lasts"], (self.now - it["begin"]).total_seconds()),
                it["status"] or 143,
            )
        if words[:2] == ["docker", "rm"]:
            del self.containers[words[-1]]
        if "run" in words:
            name, release = words[words.index("--name") + 1], words[words.index("--label") + 1].split("=")[1]
            if name in self.containers:
                return 1, "", f"the container name {name} is already in use"
            self.started.append((name, release, words[-1]))
            self.leave(release, 0, status=self.status)
        return 0, "", ""


@pytest.fixture
def tree(tmp_path):
    it = ReleaseTree(tmp_path)
    for release in ("r1", "r2"):
        me = os.geteuid()
        it.stage(
            release, [File("config/jobs/warm/key", release, 0o400, me), File("jobs.json", "[]", 0o644, me)]
        )
    return it


def take(docker, tree, release="r2", job=WARM):
    jobs = HostJobs(docker, "shop", tree, sleep=docker.sleep, now=lambda: docker.now)
    return jobs.take(job, release, f"/opt/shop/releases/{release}/docker-compose.prod.yml")


def test_one_that_ends_well_is_told_with_its_last_lines_and_remembered(tree):
    docker = Docker()
    outcome = take(docker, tree)
    assert (outcome.ran, outcome.seconds, outcome.output) == (True, 3.0, "11 places\nand a warning")
    assert docker.started == [("shop-job-warm", "r2", "job.warm")]
    assert docker.containers == {}
    assert (tree.root / "config/jobs/warm/key").read_text() == "r2"
    assert done(tree, "r2") == ["warm"] and done(tree, "r1") == []


def test_it_is_run_once_a_release(tree):
    docker = Docker()
    take(docker, tree)
    assert not take(docker, tree).ran
    assert take(docker, tree, "r1").ran
    assert not take(docker, tree, "r2").ran
    assert len(docker.started) == 2


@pytest.mark.parametrize(
    ("when", "told"),
    [("before_traffic", "no new replica was started"), ("after_release", "r2 serves all the same")],
)
def test_one_that_fails_is_told_with_its_status_and_what_it_means(tree, when, told):
    docker = Docker(status=3)
    with pytest.raises(SlipwayError, match="warm ended with status 3 after 3 s:\n11 places") as failure:
        take(docker, tree, job=replace(WARM, when=when))
    assert told in failure.value.remedy
    assert docker.containers == {}
    assert done(tree, "r2") == []
    docker.status = 0
    assert take(docker, tree).ran, "it was not run again"


def test_one_is_ended_at_its_deadline(tree):
    docker = Docker(lasts=3600)
    with pytest.raises(SlipwayError, match="warm was not done within 60 s and was ended:\n11 places"):
        take(docker, tree)
    assert 60 <= (docker.now - BEGIN).total_seconds() < 62
    assert docker.containers == {} and done(tree, "r2") == []


def test_one_that_a_dead_run_left_at_work_is_awaited(tree):
    docker = Docker()
    docker.leave("r2", ago=10, lasts=20)
    assert take(docker, tree).ran
    assert docker.started == [] and docker.containers == {} and done(tree, "r2") == ["warm"]


def test_its_deadline_counts_from_its_own_start(tree):
    docker = Docker()
    docker.leave("r2", ago=50, lasts=3600)
    with pytest.raises(SlipwayError, match="not done within 60 s"):
        take(docker, tree)
    assert (docker.now - BEGIN).total_seconds() < 12


def test_one_that_ended_well_while_nobody_looked_is_not_run_again(tree):
    docker = Docker()
    docker.leave("r2", ago=100)
    assert take(docker, tree).output
    assert docker.started == [] and done(tree, "r2") == ["warm"]


@pytest.mark.parametrize(
    "left",
    [
        {"release": "r1", "ago": 1, "lasts": 3600},
        {"release": "r1", "ago": 100},
        {"release": "r2", "ago": 100, "status": 1},
        {"release": "r2", "ago": 1, "state": "created"},
    ],
    ids=["of-another-release", "of-another-release-and-ended", "failed", "never-started"],
)
def test_what_else_a_dead_run_left_makes_room(tree, left):
    docker = Docker()
    docker.leave(**left)
    assert take(docker, tree).ran
    assert docker.started == [("shop-job-warm", "r2", "job.warm")]


def test_what_is_left_of_other_releases_is_swept_away(tree):
    docker = Docker()
    docker.leave("r1", ago=1)
    jobs = HostJobs(docker, "shop", tree, sleep=docker.sleep, now=lambda: docker.now)
    assert jobs.sweep("r1") == []
    assert jobs.sweep("r2") == ["remove job warm of r1"]
    assert docker.containers == {}


def test_what_was_done_is_forgotten_with_its_release(tree):
    record_done(tree, "r1", "warm")
    for path in (tree.release("r1"),):
        path.rename(path.with_name("gone"))
    record_done(tree, "r2", "warm")
    assert json.loads((tree.root / "state/jobs.json").read_text()) == {"r2": ["warm"]}


# What a stack says, and what becomes of it.


def test_it_is_defined_beside_its_service_on_one_host():
    base = with_service(stack(), "api", secrets_in_environment=(), environment={"PRICE": "5$"})
    base = replace(base, jobs={"warm": Job("warm", "api", ("warm", "$x"), "before_traffic", 60)})
    tree = rendered(base)
    told = yaml.safe_load(tree["docker-compose.prod.yml"])["services"]
    job, replica = told["job.warm"], told["api-blue-1"]
    alike = [
        "image",
        "user",
        "read_only",
        "cap_drop",
        "security_opt",
        "cpus",
        "mem_limit",
        "pids_limit",
        "networks",
    ]
    assert {key: job[key] for key in alike} == {key: replica[key] for key in alike}
    assert job["command"] == ["warm", "$$x"] and job["environment"]["PRICE"] == "5$$"
    assert job["environment"]["DATABASE_HOST"] == "postgres"
    assert job["volumes"] == ["/opt/wayfare/config/jobs/warm:/run/secrets:ro"]
    assert job["labels"] == {"io.slipway.job": "wayfare/warm"}
    assert "restart" not in job and "ports" not in job and "SLIPWAY_POOL" not in job["environment"]
    assert tree["config/jobs/warm/database_password"] == "hidden-database_wayfare"
    assert declared([File("jobs.json", tree["jobs.json"], 0o644, 0)]) == list(base.jobs.values())
    elsewhere = rendered(base, "h2.test")
    assert "jobs.json" not in elsewhere and "job.warm" not in elsewhere["docker-compose.prod.yml"]


def test_a_job_has_its_defaults(definition, hosts):
    definition["jobs"] = {"warm_cache": {"service": "web", "command": ["warm"]}}
    assert parse_stack(definition, hosts).jobs["warm_cache"] == Job(
        "warm_cache", "web", ("warm",), "before_traffic", 600
    )


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"service": "wbe"}, "stack/jobs/warm/service: wbe is not a service. Did you mean web?"),
        ({"command": []}, "stack/jobs/warm/command: is an empty list"),
        ({"when": "after"}, 'stack/jobs/warm/when: is "after", not one of before_traffic, after_release'),
        ({"deadline": "2d"}, 'stack/jobs/warm/deadline: is "2d", out of range'),
    ],
)
def test_a_fault_in_a_job_is_named_once(definition, hosts, said, problem):
    definition["jobs"] = {"warm": {"service": "web", "command": ["warm"], **said}}
    with pytest.raises(InvalidInputError) as refused:
        parse_stack(definition, hosts)
    (found,) = refused.value.problems
    assert problem in str(found)


def test_the_plan_says_where_and_when_and_how_long():
    found = {"a": [{"name": "warm", "when": "before_traffic", "deadline": 60}], "b": []}
    (move,) = moves = job_moves(found, "before_traffic")
    assert (move.kind, move.hosts, move.seconds, list(move.services)) == ("job", ("a",), 60, ["warm"])
    assert job_lines(moves) == ["job warm: run on a before the first new replica starts, for at most 1 min"]
    assert job_moves(found, "after_release") == []


def test_what_was_done_is_not_pending():
    jobs = json.dumps(
        [{"name": name, "service": "web", "command": [], "when": "", "deadline": 1} for name in "ab"]
    )
    assert [job.name for job in pending([File("jobs.json", jobs, 0o644, 0)], ["a"])] == ["b"]
