"""Turn a stack definition into a `Stack`, or into the complete list of what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import InvalidInputError, Problem
from ..gate.service_probes import probes_from
from ..monitoring.console import default_domain
from ..schema import schema
from ..schema.reading import Faults, read
from ..stack.model import Host, Job, Objectives, SecretRule, Stack
from ..stack.model_alerts import alerts_from
from ..stack.model_components import (
    S3,
    Archive,
    Assertion,
    Backup,
    Components,
    Console,
    Edge,
    Etcd,
    Logs,
    Monitoring,
    OtherSite,
    Postgres,
    Redis,
    Registry,
    SecondRepository,
    Sftp,
    ThirdParty,
    Tls,
    Traces,
)
from ..stack.model_data import Data, DatabaseCare, Retention, Subject
from ..stack.model_hooks import Email, Hook
from ..stack.model_integrations import Export, LogExport, RemoteWrite, Sentry
from ..stack.model_rollout import Strategy
from ..stack.model_service import RateLimit, Resources, Route, Scale, Service
from ..stack.ports import publish_base
from ..stack.strategies import BUILT_IN, gates_from, known_strategies, strategy_from, unknown_strategy
from ..stack.topology import keeper
from .slo_rules import slo_from
from .stack_rules import inconsistencies


@dataclass(frozen=True)
class Inspection:
    """What was read, with blanks where something was wrong, and everything that was wrong."""

    stack: Stack
    problems: tuple[Problem, ...]


def parse_stack(definition: Mapping[str, Any], hosts: Sequence[Host]) -> Stack:
    """The stack; InvalidInputError names every fault in it."""
    inspection = inspect_stack(definition, hosts)
    if inspection.problems:
        raise InvalidInputError(inspection.problems)
    return inspection.stack


def inspect_stack(definition: object, hosts: Sequence[Host]) -> Inspection:
    """Read the definition whatever its state, for callers that have more to check before they report."""
    faults = Faults()
    stack = _stack(read(schema.STACK, definition, "stack", faults), tuple(hosts), faults)
    faults.judged(inconsistencies(stack))
    return Inspection(stack, tuple(faults.problems))


def _stack(given: Mapping[str, Any], hosts: tuple[Host, ...], faults: Faults) -> Stack:
    names = tuple(host.name for host in hosts)
    own = {name: _strategy(name, it, faults) for name, it in given["strategies"].items()}
    services = {
        name: _service(name, it, given["domain"], names, _chosen(name, it["strategy"], own, faults))
        for name, it in given["services"].items()
    }
    return Stack(
        name=given["name"],
        domain=given["domain"],
        hosts=hosts,
        services=services,
        secrets={name: SecretRule(name, rule["generate"]) for name, rule in given["secrets"].items()},
        components=_components(given["components"], names, given["name"], given["domain"]),
        images=given["images"],
        keep_releases=given["keep_releases"],
        protected_releases=tuple(given["protected_releases"]),
        hooks=tuple(map(_hook, given["hooks"])),
        jobs={name: Job(name, **job) for name, job in given["jobs"].items()},
        strategies=own,
        objectives=Objectives(**given["objectives"]),
        sentry=Sentry(**given["sentry"]) if given["sentry"] else None,
        data=_data(given["data"]),
    )


def _data(given: Mapping[str, Any]) -> Data:
    databases = {
        name: DatabaseCare(
            care["masking"],
            tuple(Retention(**{**rule, "cascades": tuple(rule["cascades"])}) for rule in care["retention"]),
            Subject(**care["subject"]),
            care["schema"],
        )
        for name, care in given["databases"].items()
    }
    return Data(given["protected"], given["retention_at"], databases)


def _strategy(name: str, given: Mapping[str, Any], faults: Faults) -> Strategy:
    """One that is at fault has a sound one's steps, so that no rule finds the same fault again."""
    if faults.within(f"stack/strategies/{name}"):
        return replace(BUILT_IN["rolling"], name=name)
    return strategy_from(name, given)


def _chosen(service: str, name: str, own: Mapping[str, Strategy], faults: Faults) -> Strategy:
    known = known_strategies(own)
    if name not in known:
        faults.judged([Problem(f"stack/services/{service}/strategy", *unknown_strategy(name, own))])
    return known.get(name, BUILT_IN["rolling"])


def _service(
    name: str, given: Mapping[str, Any], domain: str, hosts: tuple[str, ...], strategy: Strategy
) -> Service:
    route, limit, base = given["route"], given["rate_limit"], given["publish_base"]
    worker = given["port"] is None
    computed = {
        "protocol": given["protocol"] or (None if worker else "http"),
        "hosts": hosts if given["hosts"] is None else given["hosts"],
        "route": Route(route["domain"] or domain, route["path"]) if route else None,
        "rate_limit": RateLimit(**limit) if limit else None,
        "resources": Resources(**given["resources"]),
        "publish_base": base or (0 if worker else publish_base(name)),
        "strategy": strategy,
        "scale": Scale(**given["scale"]),
        "gates": gates_from(given["gates"], given["protocol"]),
        "probes": probes_from(given),
        "slo": slo_from(given["slo"]),
    }
    return Service(name=name, **{**given, **computed})


def _components(given: Mapping[str, Any], hosts: tuple[str, ...], name: str, domain: str) -> Components:
    # None of these moves when hosts are added after the third.
    first_three, voters = hosts[:3], hosts[: 3 if len(hosts) >= 3 else 1]
    one = tuple(keeper(hosts))
    postgres, redis = given["postgres"], given["redis"]
    return Components(
        edge=_edge(_placed(given["edge"], hosts[:2])),
        registry=Registry(**_placed(given["registry"], one)),
        etcd=Etcd(**_placed(given["etcd"], voters)),
        postgres=_postgres(_placed(postgres, first_three)) if postgres else None,
        redis=Redis(**_placed(redis, first_three)) if redis else None,
        monitoring=_monitoring(_placed(given["monitoring"], one)),
        backup=_backup(_placed(given["backup"], one), name) if given["backup"] else None,
        logs=_logs(_placed(given["logs"], one)) if given["logs"] else None,
        console=_console(given["console"], domain),
    )


def _logs(given: Mapping[str, Any]) -> Logs:
    exports = {name: LogExport(**one) for name, one in given["exports"].items()}
    return Logs(**{**given, "exports": exports, "traces": _traces(given["traces"])})


def _traces(given: Mapping[str, Any] | None) -> Traces | None:
    if not given:
        return None
    exports = {name: Export(**one) for name, one in given["exports"].items()}
    return Traces(**{**given, "exports": exports})


def _console(given: Mapping[str, Any] | None, domain: str) -> Console | None:
    return Console(**{**given, "domain": given["domain"] or default_domain(domain)}) if given else None


def _postgres(given: Mapping[str, Any]) -> Postgres:
    other = given["other_site"]
    return Postgres(**{**given, "other_site": OtherSite(**other) if other else None})


def _monitoring(given: Mapping[str, Any]) -> Monitoring:
    outside = {name: ThirdParty(**one) for name, one in given["outside"].items()}
    stores = {name: RemoteWrite(**one) for name, one in given["remote_write"].items()}
    computed = {"alerts": alerts_from(given["alerts"]), "outside": outside, "remote_write": stores}
    return Monitoring(**{**given, **computed})


def _backup(given: Mapping[str, Any], stack: str) -> Backup:
    second = given["second"]
    computed = {
        "every": int(given["every"].removesuffix("h") or 24),
        "assertions": tuple(Assertion(**assertion) for assertion in given["assertions"]),
        "second": SecondRepository(
            second["path"] or f"/{stack}",
            S3(**second["s3"]) if second["s3"] else None,
            Sftp(**second["sftp"]) if second["sftp"] else None,
        )
        if second
        else None,
        "archive": Archive(**given["archive"]) if given["archive"] else None,
    }
    return Backup(**{**given, **computed})


def _edge(given: Mapping[str, Any]) -> Edge:
    values = {name: value for name, value in given.items() if name != "cors"}
    values |= {"tls": Tls(**given["tls"]), "cors_origins": given["cors"]["origins"]}
    values["public_https_port"] = given["public_https_port"] or given["https_port"]
    return Edge(**values)


def _hook(given: Mapping[str, Any]) -> Hook:
    mail = given["email"]
    email = Email(sender=mail["from"], **{key: mail[key] for key in mail if key != "from"}) if mail else None
    return Hook(**{**given, "email": email})


def _placed(given: Mapping[str, Any], default: tuple[str, ...]) -> dict[str, Any]:
    return {**given, "hosts": default if given["hosts"] is None else given["hosts"]}
