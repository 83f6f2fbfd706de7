"""What a stack definition can say about its releases: the user's own strategies, and a service's gates."""

from __future__ import annotations

from ..stack.model_rollout import INCONCLUSIVE
from .forms import ANSWER, NAME, QUERY, URL_PATH
from .kinds import Boolean, Choice, Integer, Key, ListOf, Number, ReplicaCount, Table, duration, latency

MOST_REPLICAS = 50

STEP = Table(
    "step",
    {
        "new": Key(
            ReplicaCount(MOST_REPLICAS),
            "Replicas of the new pool on each host; percentages are rounded up.",
            None,
            "as before the step",
        ),
        "old": Key(
            ReplicaCount(MOST_REPLICAS),
            "Replicas of the old pool that stay on each host; percentages are rounded down.",
            None,
            "as before the step",
        ),
        "share": Key(
            Integer(0, 100),
            "Percent of the traffic that goes to the new pool.",
            None,
            "every replica gets the same; in the last step all goes to the new pool",
        ),
        "pause": Key(duration("0s", "1d"), "Time the new pool is judged before the next step.", "0s"),
        "surge": Key(
            Integer(1, MOST_REPLICAS),
            "Replace so many replicas at a time until all are new, each new one started before an old one is "
            "stopped. Stands alone in its step.",
            None,
        ),
        "stop_first": Key(
            Integer(1, MOST_REPLICAS),
            "The same, but old ones are stopped before new ones start, so that there are never more than "
            "`replicas`. Stands alone in its step.",
            None,
        ),
    },
)

STRATEGY_TABLE = Table(
    "strategy",
    {
        "steps": Key(
            ListOf(STEP, least=1),
            "What shall be true on each host, one after another. The last one has `new: 100%`, or is `surge` "
            "or `stop_first`.",
        ),
        "watch": Key(
            duration("0s", "7d"),
            "Time after the last step in which the old pool is kept running to go back to, and the new one "
            "judged. Needs an old pool that is still whole after the last step.",
            "0s",
        ),
        "warm": Key(
            Boolean(),
            "Whether the old pool keeps running without traffic until the next release, so that a rollback "
            "takes seconds. Needs memory for both, and an old pool that is whole after the last step.",
            False,
        ),
        "inconclusive": Key(
            Choice(INCONCLUSIVE), "What a gate means that has not seen enough requests.", "proceed"
        ),
        "batch": Key(Integer(0, 1000), "Hosts that start and stop replicas at once; 0: all of them.", 0),
    },
)

GATE_QUERY = Table(
    "query",
    {
        "name": Key(NAME, "What the verdict calls it."),
        "query": Key(QUERY, "PromQL with one number as its answer; `$pool` and `$service` are replaced."),
        "max": Key(Number(-1e15, 1e15), "The gate fails above it."),
    },
)

GATES = Table(
    "gates",
    {
        "errors": Key(Number(0, 100), "Percent of responses that may be 5xx; 100: not judged.", 2),
        "errors_above_old": Key(
            Number(0, 100),
            "Percentage points by which that may be above the old pool in the same minutes; 100: not judged.",
            1,
        ),
        "p95": Key(
            latency("1ms", "24h"), "Time within which 95 % are answered.", None, "`2s`; none for websocket"
        ),
        "p99": Key(
            latency("1ms", "24h"), "Time within which 99 % are answered.", None, "`5s`; none for websocket"
        ),
        "slower_than_old": Key(
            Number(1, 1000),
            "How many times the old pool's p95 that of the new one may be.",
            None,
            "`2.0`; none for websocket",
        ),
        "minimum_requests": Key(
            Integer(1, 1_000_000), "Requests to the new pool below which nothing can be concluded.", 50
        ),
        "memory": Key(
            Number(1, 100),
            "Percent of its memory limit that the fullest replica may use, unless the old pool's is as full; "
            "100: not judged.",
            90,
        ),
        "memory_lasts": Key(
            duration("0s", "1d"),
            "A replica that outgrows the old pool must not reach its memory limit within this time, at the "
            "rate it has had for a minute or more; 0s: not judged.",
            "30m",
        ),
        "queries": Key(ListOf(GATE_QUERY), "Gates of your own.", []),
    },
)

PROBE = Table(
    "probe",
    {
        "path": Key(URL_PATH, "What is asked for, by GET, query string included."),
        "status": Key(Integer(200, 599), "Status of the right answer.", 200),
        "contains": Key(ANSWER, "Text that stands in the right answer.", None, "any content"),
        "within": Key(latency("10ms", "30s"), "Time the complete answer may take.", "2s"),
    },
)
