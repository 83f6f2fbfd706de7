"""A whole stack over one to many hosts, made by hand, and what its hosts get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host, Stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_alerts import (
    PAGERDUTY,
    AlertEmail,
    AlertRoute,
    Alerts,
    AlertWebhook,
    PagerDuty,
    Receiver,
    Rule,
    Slack,
    Step,
    Watchdog,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_components import (
    S3,
    Archive,
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
    ThirdParty,
    Tls,
    Traces,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_data import (
    Data,
    DatabaseCare,
    Retention,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_hooks import Hook
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_integrations import (
    Export,
    LogExport,
    RemoteWrite,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_rollout import Gates
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_service import (
    LatencyObjective,
    Resources,
    Route,
    Scale,
    Service,
    Slo,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.strategies import BUILT_IN
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from ansible_collections.slipway.compose.plugins.plugin_utils.render import Material, render

IMAGES = (
    "alertmanager",
    "archive-repository",
    "blackbox-exporter",
    "collector",
    "etcd",
    "grafana",
    "haproxy",
    "mtail",
    "nginx",
    "nginx-exporter",
    "node-exporter",
    "pgbouncer",
    "pgbouncer-exporter",
    "postgres",
    "postgres-exporter",
    "prometheus",
    "redis",
    "redis-exporter",
    "victoria-logs",
)
SECRETS = {
    name: f"hidden-{name}"
    for name in (
        "alert_token",
        "alert_url",
        "archive_password",
        "backup_cipher",
        "backup_second_cipher",
        "console_cookie",
        "console_password",
        "database_wayfare",
        "edge_probe",
        "mail_ca",
        "mail_password",
        "pager_key",
        "patroni_api",
        "postgres_monitor",
        "postgres_replication",
        "postgres_superuser",
        "redis",
        "redis_admin",
        "redis_monitor",
        "status_key",
        "status_url",
        "store_ca",
        "store_password",
        "store_token",
        "tracker_dsn",
        "third_party",
    )
} | {"trace_headers": "DD-API-KEY: hidden-trace$key\n"}
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nQ0VSVElGSUNBVEU=\n-----END CERTIFICATE-----\n"


def service(name: str, path: str | None, protocol: str, base: int, hosts: tuple[str, ...]) -> Service:
    return Service(
        name=name,
        image=f"registry.test/{name}:1",
        build=None,
        command=(name,),
        port=8080,
        protocol=protocol,
        health_path="wayfare.Journeys" if protocol == "grpc" else "/ready",
        replicas=2,
        hosts=hosts,
        route=Route("wayfare.test", path) if path else None,
        rate_limit=None,
        resources=Resources(0.5, 134217728),
        environment={},
        secrets=(),
        secrets_in_environment=(),
        database="wayfare" if name == "api" else None,
        migrations=None,
        redis=name == "api",
        metrics_path="/metrics" if name in ("api", "journeys") else None,
        user=10001,
        drain=10,
        start_timeout=60,
        retry="reads",
        publish_base=base,
        strategy=BUILT_IN["rolling"],
        gates=Gates(2.0, 1.0, 2000, 5000, 2.0, 50, ()),
        scale=Scale(0, 50),
    )


def stack(count: int = 3, **edge: Any) -> Stack:
    """A whole stack over some hosts; edge on the first two, monitoring and registry on the last."""
    hosts = tuple(Host(f"h{index}.test", f"10.0.0.{index}") for index in range(1, count + 1))
    names = tuple(host.name for host in hosts)
    services = [
        service("web", "/", "http", 20000, names),
        service("api", "/api/", "http", 20010, names),
        service("updates", "/ws/", "websocket", 20020, names),
        service("journeys", "/wayfare.Journeys/", "grpc", 20030, names),
        service("worker", None, "http", 20040, names),
    ]
    settings: dict[str, Any] = {
        "hosts": names[:2],
        "http_port": 80,
        "https_port": 443,
        "public_https_port": 443,
        "tls": Tls(None, None),
        "hsts_max_age": 31536000,
        "content_security_policy": "default-src 'self'",
        "cors_origins": (),
        "max_body": 1048576,
    }
    components = Components(
        edge=Edge(**{**settings, **edge}),
        registry=Registry(names[-1:], 5000),
        etcd=Etcd(names[:3] if count > 2 else names[:1]),
        postgres=Postgres(names[:3], {}, 100, 20, True, 1048576, 268435456),
        redis=Redis(names[:3], 67108864, "allkeys-lru"),
        monitoring=Monitoring(names[-1:], 2592000),
    )
    return Stack(
        "wayfare", "wayfare.test", hosts, {item.name: item for item in services}, {}, components, {}, 5, {}
    )


LAB = Path(__file__).resolve().parents[2] / "inventories/lab/group_vars/lab/stack.yml"
LAB_HOSTS = [Host(f"lab-{number}.test", f"10.0.0.{number}") for number in (1, 2, 3)]


def lab_definition() -> dict[str, Any]:
    """What the lab's inventory declares, for a lab of LAB_HOSTS; free to be changed."""
    text = LAB.read_text(encoding="utf-8")
    text = text.replace('"{{ lab.https_port }}"', "443")
    found: dict[str, Any] = yaml.safe_load(text.replace("{{ lab.hosts.values() | first }}", "10.0.0.1"))
    return found["stack"]


def with_backup(base: Stack, **changes: Any) -> Stack:
    """The same stack with backups on its last host."""
    settings: dict[str, Any] = {
        "hosts": (base.hosts[-1].name,),
        "at": "02:00",
        "every": 24,
        "full_on": "sunday",
        "keep_days": 30,
        "keep_full": None,
        "verify_at": "05:00",
        "assertions": (),
        "second": None,
        "queue": 4 << 30,
        "wal_every": 60,
        "processes": 2,
        "memory": 512 << 20,
    }
    return replace(base, components=replace(base.components, backup=Backup(**{**settings, **changes})))


def with_archive(base: Stack, *volumes: str) -> Stack:
    """The same stack with backups, and what is no database archived beside them."""
    return with_backup(base, archive=Archive("03:00", 7, volumes or ("alertmanager",)))


def with_second(base: Stack, **place: Any) -> Stack:
    """The same stack with archives, and a second place for them and for backups: `s3` or `sftp`."""
    archived = with_archive(base)
    assert archived.components.backup
    store = S3("s3.example.com", "shop", "eu", True, "redis", "redis_admin")
    second = SecondRepository(**{"path": "/wayfare", "s3": None if place else store, "sftp": None, **place})
    backup = replace(archived.components.backup, second=second)
    return replace(archived, components=replace(archived.components, backup=backup))


def with_retention(base: Stack) -> Stack:
    """The same stack, with rows that are deleted when they are old."""
    care = DatabaseCare(retention=(Retention("visits", "at", 365 * 86400),))
    return replace(base, data=Data(databases={"wayfare": care}))


def with_logs(base: Stack) -> Stack:
    """The same stack with a log store on its last host."""
    logs = Logs((base.hosts[-1].name,), 30 * 86400, 2555 * 86400, 8 << 30, 1 << 30, 512 << 20)
    return replace(base, components=replace(base.components, logs=logs))


def with_traces(base: Stack, **changes: Any) -> Stack:
    """The same stack with a log store, traces beside it, and somebody else who gets them, too."""
    exports = {"tempo": Export("https://tempo.test/v1/traces", "trace_headers")}
    settings = {
        "share": 10,
        "slow": 1000,
        "wait": 5000,
        "retention": 7 * 86400,
        "disk": 4 << 30,
        "memory": 256 << 20,
        "exports": exports,
    }
    stored = with_logs(base)
    assert stored.components.logs
    logs = replace(stored.components.logs, traces=Traces(**{**settings, **changes}))
    return replace(stored, components=replace(stored.components, logs=logs))


def with_log_exports(base: Stack, **exports: LogExport) -> Stack:
    """The same stack with a log store, and others who get the lines, too; one of them all of them."""
    usual = {
        "loki": LogExport("https://loki.test/otlp/v1/logs", "trace_headers"),
        "lake-1": LogExport("http://lake.test:4318/v1/logs", None, "protobuf", audit=True),
    }
    stored = base if base.components.logs else with_logs(base)
    assert stored.components.logs
    logs = replace(stored.components.logs, exports=exports or usual)
    return replace(stored, components=replace(stored.components, logs=logs))


def with_console(base: Stack, *networks: str, **users: str) -> Stack:
    """The same stack with its one address for those who run it."""
    console = Console(f"ops.{base.domain}", networks, users, ())
    return replace(base, components=replace(base.components, console=console))


def with_everything(base: Stack) -> Stack:
    """The same stack with each part that a stack may lack."""
    cared = with_retention(
        with_other_site(with_slo(with_outside(with_log_exports(with_traces(with_second(base))))))
    )
    return with_console(with_stores(with_listeners(cared)))


def with_alerts(base: Stack, **changes: Any) -> Stack:
    """The same stack, whose alerts go by every way there is; `changes` are the settings of alerts."""
    mail = AlertEmail(
        ("ops@wayfare.test",),
        "alerts@wayfare.test",
        "mail.test:587",
        "starttls",
        "alerts",
        "mail_password",
        "mail_ca",
    )
    receivers = {
        "team": Receiver(email=mail, slack=Slack("alert_url", "#ops", None)),
        "pager": Receiver(pagerduty=PagerDuty("pager_key", PAGERDUTY, None)),
        "bus": Receiver(webhook=AlertWebhook("https://bus.test/in", None, "alert_token", None)),
    }
    settings: dict[str, Any] = {
        "receivers": receivers,
        "critical": ("team", "pager"),
        "warning": ("team",),
        "routes": (AlertRoute(("warning",), ("api", "web"), ("web-team",), ("bus",)),),
        "escalation": (Step(900, ("pager",)), Step(1800, ("team", "bus")), Step(3600, ("bus",))),
        "watchdog": Watchdog(("bus",), 60),
        "uptime": Watchdog(("bus",), 60),
    }
    monitoring = replace(base.components.monitoring, alerts=Alerts(**{**settings, **changes}))
    return replace(base, components=replace(base.components, monitoring=monitoring))


def with_rules(base: Stack, *rules: Rule) -> Stack:
    """The same stack, which has alerts of its own: one of a service, and one of nothing in particular."""
    failing = Rule(
        "OrdersFail",
        'sum by (country) (rate(orders_total{outcome="failed"}[5m]))\n'
        "  / sum by (country) (rate(orders_total[5m])) > 0.05 # of all",
        300,
        "critical",
        '{{ $value | humanizePercentage }} of the orders from {{ $labels.country }} fail: "no" 😀',
        "https://wiki.test/orders?a=1#fail",
        service="api",
        labels={"team": "sales", "tier": "1"},
        goes_on=600,
    )
    waiting = Rule(
        "PayoutsWait",
        "payouts_waiting > 100",
        0,
        "warning",
        "Over 100 payouts wait",
        "docs/runbooks/redis.md",
    )
    alerts = replace(base.components.monitoring.alerts, rules=rules or (failing, waiting))
    monitoring = replace(base.components.monitoring, alerts=alerts)
    return replace(base, components=replace(base.components, monitoring=monitoring))


def with_listeners(base: Stack) -> Stack:
    """The same stack, which tells a status page and a chat how its services fare."""
    page = Hook(("failed", "down", "degraded", "up"), None, "status_url", "json", None, "status_key")
    chat = Hook(("down",), "https://chat.test/in", None, "slack", None)
    return replace(base, hooks=(page, chat))


def with_stores(base: Stack) -> Stack:
    """The same stack, whose metrics two others get, too; one of them some only."""
    mimir = RemoteWrite("https://mimir.test/push", "shop", "store_password", None, "store_ca", None)
    lake = RemoteWrite("https://lake.test/write", None, None, "store_token", None, "slipway_.*|up")
    monitoring = replace(base.components.monitoring, remote_write={"mimir": mimir, "lake": lake})
    return replace(base, components=replace(base.components, monitoring=monitoring))


def with_outside(base: Stack) -> Stack:
    """The same stack, which needs two others; its users suffer when the first is away."""
    usual = ThirdParty("https://maps.test/up", "HEAD", 204, 60, 10000, 2000, None, None, "warning")
    needed = replace(
        usual,
        url="https://api.pay.test/health?deep=1",
        method="GET",
        expect=200,
        few=100,
        authorization_secret="third_party",
        severity="critical",
    )
    outside = {"payments": needed, "maps": usual}
    monitoring = replace(base.components.monitoring, outside=outside)
    return replace(base, components=replace(base.components, monitoring=monitoring))


def with_other_site(base: Stack, *, follow: bool = False) -> Stack:
    """The same stack as one of two sites; the other is `away`, and has two members."""
    assert base.components.postgres
    other = OtherSite("away", follow, ("192.0.2.21", "192.0.2.22"))
    postgres = replace(base.components.postgres, other_site=other)
    return replace(base, components=replace(base.components, postgres=postgres))


def with_service(base: Stack, name: str, **changes: Any) -> Stack:
    return replace(base, services={**base.services, name: replace(base.services[name], **changes)})


def with_slo(base: Stack) -> Stack:
    """The same stack, whose services with a route promise something; web also how fast it is."""
    fast = LatencyObjective(99.0, 500)
    for name, service in base.services.items():
        if service.route:
            slo = Slo(99.9, fast if name == "web" else None, 30 * 86400)
            base = with_service(base, name, slo=slo)
    return base


def rendered(
    base: Stack, host: str = "h1.test", bootstrap: str = "", watchdogs: Sequence[str] = (), **secrets: str
) -> dict[str, str]:
    """The tree of one host: path -> text."""
    laid = topology(base)
    images = {name: f"registry.test/{name}@sha256:0" for name in [*IMAGES, *base.services]}
    certificates = dict.fromkeys(["edge", *laid.views], (CERTIFICATE, "KEY"))
    material = Material(
        images,
        {**SECRETS, **secrets},
        "CA",
        certificates,
        {},
        bootstrap=bootstrap,
        watchdogs=frozenset(watchdogs),
    )
    return {file.path: file.content for file in render(laid, laid.views[host], material)}


def rules(base: Stack) -> list[dict[str, Any]]:
    """The alert rules of a stack, as Prometheus reads them on the last host."""
    return [rule for rule in recorded_and_alerts(base) if "alert" in rule]


def recorded_and_alerts(base: Stack) -> list[dict[str, Any]]:
    """All rules of a stack."""
    tree = rendered(base, base.hosts[-1].name)
    files = [
        yaml.safe_load(text) for path, text in tree.items() if path.startswith("config/prometheus/rules/")
    ]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


@cache
def usual(count: int, host: int) -> dict[str, str]:
    """The tree of one host of an unaltered stack, rendered once for all tests."""
    return rendered(stack(count), f"h{host}.test")


@cache
def compose(count: int, host: int) -> dict[str, Any]:
    """Its Compose services."""
    parsed: dict[str, Any] = yaml.safe_load(usual(count, host)["docker-compose.prod.yml"])["services"]
    return parsed
