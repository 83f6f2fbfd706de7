"""Critical alerts that the drill does not bring about, and why. promtool tries their rules (tests/alerts)."""

from __future__ import annotations

from collections.abc import Mapping

_SHARED = (
    "hosts of a lab share the {} of their machine: using it up would hurt everything on it, and this drill"
)
_HOURS = "its rule waits for {}, and no threshold of the stack makes that shorter"
_ONE_PLACE = "the lab has no second place for backups"
_ONE_SITE = "needs two sites (`scripts/two-sites`); the lab is one"
_LOAD = "needs a service that is healthy and {} under load; the gate of releases is tested with such ones"

NOT_DRILLED: Mapping[str, str] = {
    "ArchiveMissing": _HOURS.format("3 hours"),
    "ArchiveSecondMissing": _ONE_PLACE,
    "ArchiveSecondTooOld": _ONE_PLACE,
    "ArchiveTooOld": _HOURS.format("2 hours, after a day without an archive"),
    "BackupMissing": _HOURS.format("1 hour"),
    "CertificateExpiring": "the environment's CA renews its certificates long before; a lab has no others",
    "ErrorBudgetBurning": "the lab promises nothing (`slo`); `molecule/releases/test_slo.py` spends a budget",
    "HighErrorRate": _LOAD.format("fails"),
    "HostCpuHigh": _SHARED.format("CPU"),
    "HostDiskHigh": _SHARED.format("disk"),
    "HostMemoryHigh": _SHARED.format("memory"),
    "LogStoreFull": _SHARED.format("disk"),
    "LogsBehind": _HOURS.format("10 minutes, after an hour without the store"),
    "PostgresTableNeedsVacuum": _HOURS.format("30 minutes"),
    "PostgresTwoLeaders": "the design excludes it; `scripts/soak` looks for it in the logs of its faults",
    "PostgresWraparound": "takes 1500 million transactions",
    "RedisCacheHitsLow": _HOURS.format("15 minutes, after 15 of many misses"),
    "RetentionSilent": _HOURS.format("26 hours"),
    "SecondSiteAway": _ONE_SITE,
    "SecondSiteLost": _ONE_SITE,
    "SecondSiteStopped": _ONE_SITE,
    "SlowResponses": _LOAD.format("slow"),
    "WalArchiveStalled": "pgBackRest ends a push that hangs: it fails then, and is `WalNotArchived`",
}
