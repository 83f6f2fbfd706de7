"""What was measured, for the documentation: a table and what has to be known of it."""

from __future__ import annotations

import os

from backup_benchmark_measurements import BESIDE, COPIED, PROVEN, Benchmark
from backup_figures import markdown, verdict


def report(benchmark: Benchmark, load: float) -> None:
    copy = benchmark.rows[COPIED]
    rows, recoveries = list(benchmark.rows.values()), list(benchmark.recoveries.values())
    print(f"\n{markdown(rows, recoveries, copy, benchmark.data)}\n")
    for restore in (BESIDE, PROVEN):
        print(f"{verdict(benchmark.rows[restore], copy)}.")
    if benchmark.left_out:
        print(f"Not measured: {benchmark.left_out}.")
    print(
        f"""{benchmark.data >> 20} MB in {benchmark.files} files without WAL. Load average {load:.1f} before,
{os.getloadavg()[0]:.1f} afterwards. What was to be read was in the page cache: {_cached(benchmark)}.
All that was written is on the disk when the clock stops (`sync`). PostgreSQL runs meanwhile, and nobody
asks it. Each time holds one `docker exec`; recovery, which is looked at every 0.3 s, holds some."""
    )


def _cached(benchmark: Benchmark) -> str:
    if not benchmark.cached:
        return "unknown, there is no `fincore` on this machine"
    least = min(benchmark.cached)
    return "all of it" if least == 100 else f"{least} % or more of it"
