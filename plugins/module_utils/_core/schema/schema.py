"""Everything a stack definition can say: each key, its kind, its range, its default, and a sentence about it.

This table and those of `schema_service`, `schema_rollout`, `schema_hooks`, `schema_data` and
`schema_components` are all there is: parsing, "did you mean" and docs/reference/stack.md are derived from
them. Rules between keys are in `service_rules` and `stack_rules`.
"""

from __future__ import annotations

from ..stack.model import BEFORE_TRAFFIC, JOB_TIMES
from .forms import (
    DOMAIN,
    IMAGE,
    JOB,
    NAME,
    RELEASE,
    SECRET,
    STRATEGY,
    WORD,
)
from .kinds import Choice, Entries, Integer, Key, ListOf, Table, duration
from .schema_components import COMPONENT_SETTINGS
from .schema_data import DATA
from .schema_hooks import HOOK
from .schema_integrations import SENTRY
from .schema_rollout import STRATEGY_TABLE
from .schema_service import SERVICE

JOB_TABLE = Table(
    "job",
    {
        "service": Key(
            NAME,
            "Service whose image, user, environment, secrets, network and limits it has. It runs on the "
            "first of that service's hosts, without its volumes.",
        ),
        "command": Key(
            ListOf(WORD, least=1),
            "Arguments in place of the image's own command; the whole command line where the service has "
            "`secrets_in_environment`.",
        ),
        "when": Key(
            Choice(JOB_TIMES),
            "`before_traffic`: before the first new replica starts; if it fails, the release goes back. "
            "`after_release`: when the release serves; if it fails, so does the run, and the release stays.",
            BEFORE_TRAFFIC,
        ),
        "deadline": Key(duration("1s", "1d"), "Time after which it is ended and has failed.", "10m"),
    },
)

SECRET_RULE = Table(
    "secret",
    {
        "generate": Key(
            Integer(16, 128),
            "Random bytes to generate it from, written as hexadecimal digits.",
            None,
            "you supply it in the environment's secrets file, under `user`",
        ),
    },
)

OBJECTIVES = Table(
    "objectives",
    {
        "rto": Key(duration("1s", "1d"), "Until writes are taken again after a fault.", "30s"),
        "rpo": Key(duration("0s", "1d"), "Time whose acknowledged writes may be lost.", "0s"),
        # Replicas answer on: what is left is how soon those that are gone are no longer asked.
        "read_gap": Key(duration("1s", "1d"), "Longest time without an answer to a read.", "10s"),
    },
)

STACK = Table(
    "stack",
    {
        "name": Key(NAME, "Name of the stack; it lives in `/opt/<name>` on its hosts."),
        "domain": Key(DOMAIN, "Domain its routes belong to unless they name another."),
        "services": Key(
            Entries(NAME, SERVICE, least=1),
            "What you run, by name. Other services reach one at its name and port.",
        ),
        "jobs": Key(Entries(JOB, JOB_TABLE), "What runs once in each release, one after another.", {}),
        "secrets": Key(Entries(SECRET, SECRET_RULE), "Secrets of your services, by name.", {}),
        "components": Key(COMPONENT_SETTINGS, "Settings of what the platform supplies.", {}),
        "images": Key(
            Entries(NAME, IMAGE), "Images to use in place of the platform's own, by component image.", {}
        ),
        "strategies": Key(
            Entries(STRATEGY, STRATEGY_TABLE),
            "Strategies of your own, by name, beside the built-in ones.",
            {},
        ),
        "keep_releases": Key(Integer(2, 100), "Releases kept on each host to return to.", 5),
        "protected_releases": Key(
            ListOf(RELEASE, distinct=True), "Ids of releases that are kept however old they get.", []
        ),
        "objectives": Key(OBJECTIVES, "What a fault may cost: a drill that costs more fails.", {}),
        "hooks": Key(ListOf(HOOK), "Whom to tell of a release, and of how services fare.", []),
        "sentry": Key(
            SENTRY, "Where applications report errors: Sentry, or what is compatible with it.", None
        ),
        "data": Key(DATA, "How the data of its databases are cared for.", {}),
    },
)
