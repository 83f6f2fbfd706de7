"""The faults of the drill of alerts, in rounds of lanes: lanes go side by side, cases of one in turn."""

from __future__ import annotations

from alert_case import NOTE, Act, Case, Watched
from alert_cases_data import (
    CONNECTIONS,
    ETCD,
    LONG_QUERY,
    OPEN_TRANSACTION,
    PGBOUNCER,
    POSTGRES,
    REDIS,
    REPLICATION,
)
from alert_cases_kept import BACKUP_OLD, BACKUP_SPOILED, RETENTION, WAL
from alert_sinks import MAPS, PAYS

COMPOSE = "docker compose --file /opt/wayfare/current/docker-compose.prod.yml up --detach"
_UPDATES = f"{NOTE}.updates"
_TEST = (
    "docker exec wayfare-alertmanager-1 amtool --alertmanager.url http://127.0.0.1:9093 "
    "alert add alertname=Test severity=critical --annotation=summary='only a test'"
)

EDGE = Case(
    "edge",
    "nginx is stopped on one of two edge hosts",
    (
        Watched("EdgeDown", "The site does not answer", {"host": "<edge>"}),
        Watched("RouteUnreachable", "The site does not answer", {"host": "<edge>", "service": "web"}),
    ),
    (Act("edge", "docker stop wayfare-edge-1"),),
    (Act("edge", f"{COMPOSE} edge"),),
    (Act("edge", "docker start wayfare-edge-1"),),
)
SITE = Case(
    "site",
    "nginx is stopped on every edge host",
    (Watched("SiteDown", "SiteDown"),),
    (Act("edges", "docker stop wayfare-edge-1"),),
    (Act("edges", f"{COMPOSE} edge"),),
    (Act("edges", "docker start wayfare-edge-1"),),
)
SERVICE = Case(
    "service",
    "every replica of a service (`updates`) is stopped",
    (Watched("ServiceDown", "A replica or a whole service is down", {"service": "updates"}),),
    (
        Act(
            "all",
            "docker ps --filter 'name=^wayfare-updates-(blue|green)-' --format '{{.Names}}' "
            f"> {_UPDATES} && xargs --no-run-if-empty docker stop < {_UPDATES}",
        ),
    ),
    (
        Act(
            "all",
            "docker start wayfare-api-blue-1-1",
            {"wayfare-api-blue-1-1": Act("all", f"cat {_UPDATES}")},
        ),
    ),
    (Act("all", f"[ ! -s {_UPDATES} ] || xargs docker start < {_UPDATES}; rm -f {_UPDATES}"),),
)
HOST = Case(
    "host",
    "node-exporter is stopped on one host",
    (Watched("HostDown", "HostDown", {"host": "<first>"}),),
    (Act("first", "docker stop wayfare-node-exporter-1"),),
    (Act("first", f"{COMPOSE} node-exporter"),),
    (Act("first", "docker start wayfare-node-exporter-1"),),
)
ENVIRONMENT = Case(
    "environment",
    "the monitoring host and the others do not hear each other (a firewall's rule)",
    (Watched("EnvironmentDown", "A host does not answer"),),
    (
        Act(
            "monitoring",
            "printf 'table inet slipway_drill {\\n"
            " chain in { type filter hook prerouting priority -500; ip saddr { %s } drop; }\\n"
            " chain out { type filter hook postrouting priority 500; ip daddr { %s } drop; }\\n}\\n' "
            "'PEERS' 'PEERS' | nft -f -",
            {"PEERS": "<peers>"},
        ),
    ),
    (Act("monitoring", "sudo nft delete table inet NAME", {"NAME": "slipway_drill"}),),
    (
        Act(
            "monitoring",
            "! nft list table inet slipway_drill > /dev/null 2>&1 || nft delete table inet slipway_drill",
        ),
    ),
    told=300,
    resolved=300,
)
DROPPED = Case(
    "dropped",
    "the only Alertmanager is stopped",
    (Watched("AlertsDropped", "Messages do not arrive", {"host": "<monitoring>"}),),
    (Act("monitoring", "docker stop wayfare-alertmanager-1"),),
    (Act("monitoring", f"{COMPOSE} alertmanager"),),
    (Act("monitoring", "docker start wayfare-alertmanager-1"),),
    told=420,
    # Five minutes back is what its rule looks.
    resolved=540,
    unheard=True,
)
REFUSED = Case(
    "refused",
    "the mail server refuses every message (451); the webhook still works",
    (Watched("AlertsNotDelivered", "Messages do not arrive", {"integration": "email"}),),
    (Act("sinks", "mail 451 4.3.0 try again later"), Act("monitoring", _TEST)),
    (
        Act("sinks", "mail", quote="ask who runs the server"),
        Act("monitoring", _TEST),
    ),
    (Act("sinks", "mail"),),
    told=360,
    # Five minutes back is what its rule looks.
    resolved=540,
)
PARTY = Case(
    "third-party",
    "a third party (an HTTP server here, `severity: critical`) answers 503",
    (Watched("ThirdPartyDown", "ThirdPartyDown", {"third_party": PAYS}),),
    (Act("sinks", f"{PAYS} 503"),),
    (
        Act(
            "monitoring",
            "journalctl -u slipway-third-parties --since -1h --no-pager | grep ' payments: '",
            {"payments": PAYS},
        ),
        Act("sinks", f"{PAYS} 200", quote="theirs: tell them"),
    ),
    (Act("sinks", f"{PAYS} 200"),),
)
LIMITED = Case(
    "limited",
    "a third party (an HTTP server here, `severity: critical`) answers 429",
    (Watched("ThirdPartyRateLimited", "ThirdPartyRateLimited", {"third_party": MAPS}),),
    (Act("sinks", f"{MAPS} 429"),),
    (
        Act(
            "monitoring",
            "grep -E 'payments' /opt/wayfare/state/metrics/third_parties.prom"
            " | grep -E 'limit|remaining|retry_after'",
            {"payments": MAPS},
        ),
        Act("sinks", f"{MAPS} 200", quote="ask them for a higher limit"),
    ),
    (Act("sinks", f"{MAPS} 200"),),
    told=360,
)
CONTAINER_MEMORY = Case(
    "container-memory",
    "edge-exporter fills its memory to 93 % (a file in its /dev/shm)",
    (
        Watched(
            "ContainerMemoryHigh",
            "ContainerMemoryHigh",
            {"host": "<first>", "name": "wayfare-edge-exporter-1"},
        ),
    ),
    (
        Act(
            "first",
            "used=$(docker stats --no-stream --format '{{.MemUsage}}' wayfare-edge-exporter-1"
            " | sed -n 's/MiB.*//p')"
            " && docker exec wayfare-edge-exporter-1 dd if=/dev/zero of=/dev/shm/drill bs=1M status=none"
            ' count="$(awk -v used="$used" \'BEGIN { print int(0.93 * 64 - used) }\')"',
        ),
    ),
    (Act("first", "docker restart wayfare-edge-exporter-1"),),
    (Act("first", "docker exec wayfare-edge-exporter-1 rm -f /dev/shm/drill"),),
    told=540,
)
REPLICA_MEMORY = Case(
    "replica-memory",
    "a replica of `web` fills its memory to 93 % (a file in its /tmp)",
    (Watched("ReplicaMemoryHigh", "ReplicaMemoryHigh", {"host": "<first>", "service": "web"}),),
    (
        Act(
            "first",
            "name=$(docker ps --filter 'name=^wayfare-web-(blue|green)-1-1$' --format '{{.Names}}')"
            " && used=$(docker stats --no-stream --format '{{.MemUsage}}' \"$name\" | sed -n 's/MiB.*//p')"
            ' && docker exec "$name" dd if=/dev/zero of=/tmp/drill bs=1M status=none'
            ' count="$(awk -v used="$used" \'BEGIN { print int(0.93 * 128 - used) }\')"',
        ),
    ),
    (
        Act(
            "checkout",
            """ansible-playbook playbooks/rolling_restart.yml -l production -e '{"services": ["api"]}'""",
            {'"api"': '"web"'},
        ),
    ),
    (
        Act(
            "first",
            "docker ps --filter 'name=^wayfare-web-(blue|green)-1-1$' --format '{{.Names}}'"
            " | xargs -I_ docker exec _ rm -f /tmp/drill",
        ),
    ),
    told=540,
)

# The first round lasts as long as what waits longest in it: WalNotArchived looks ten minutes back.
# While Alertmanager is stopped at its beginning, nothing is told: what would be soon stands behind others.
# It stops the backup repository, too: backups are hurt later, while the replicas they are read from stream.
ROUNDS: tuple[tuple[tuple[Case, ...], ...], ...] = (
    (
        (DROPPED, REFUSED),
        (WAL,),
        (REPLICATION,),
        (RETENTION, LIMITED),
        (CONNECTIONS, LONG_QUERY, OPEN_TRANSACTION),
        (CONTAINER_MEMORY, PGBOUNCER),
        (REPLICA_MEMORY, EDGE, SERVICE, PARTY),
    ),
    ((SITE,), (REDIS,), (ETCD,)),
    ((POSTGRES,), (HOST,)),
    ((BACKUP_OLD, BACKUP_SPOILED),),
    ((ENVIRONMENT,),),
)
CASES = {case.name: case for round_ in ROUNDS for lane in round_ for case in lane}
