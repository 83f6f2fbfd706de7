"""The part of the log benchmark that runs on a host, as root: `python3 - VERB STACK ARGUMENTS < this`."""

from __future__ import annotations

import http.client
import json
import random
import ssl
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

NAME = "slipway-benchmark-logs"
# As containers of a stack with a log store are run: compose/services/logging.yml.j2.
OPTIONS = ("mode=non-blocking", "max-buffer-size=16m", "env=SLIPWAY_SERVICE")
# In what Perl the base image has: writes lines at a rate, and says for how long one write took at most.
WRITER = r"""
use strict;
sub now { open(my $file, "<", "/proc/uptime") or die $!; return (split " ", <$file>)[0]; }  # to 10 ms
my ($run, $rate, $total) = @ARGV; my ($begun, $written, $worst) = (now(), 0, 0);
while ($written < $total) {
  my $due = int((now() - $begun) * $rate); $due = $total if $due > $total;
  my $text = "";
  for (my $n = $written; $n < $due; $n++) {
    $text .= sprintf('{"level":"info","event":"request","path":"/api/journeys","status":200,' .
      '"duration":0.0123,"request_id":"%s-%09d","user_agent":"benchmark of logs"}' . "\n", $run, $n);
  }
  my $before = now();
  while (length $text) { my $took = syswrite(STDOUT, $text) // die $!; substr($text, 0, $took) = ""; }
  my $took = now() - $before; $worst = $took if $took > $worst;
  $written = $due; select(undef, undef, undef, 0.05);
}
printf STDERR "%.6f %.3f\n", $worst, now() - $begun;
"""
BATCH = 20_000


def store(stack: str) -> tuple[http.client.HTTPSConnection, str]:
    folder = Path(f"/opt/{stack}/config/host")
    told = json.loads((folder / "logs.json").read_text())
    context = ssl.create_default_context(cafile=str(folder / "tls/ca.crt"))
    context.load_cert_chain(folder / "tls/tls.crt", folder / "tls/tls.key")
    client = http.client.HTTPSConnection(told["host"], told["port"], timeout=120, context=context)
    return client, told["name"]


def ask(client: http.client.HTTPSConnection, query: str) -> list[dict[str, str]]:
    body = urllib.parse.urlencode({"query": query})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    client.request("POST", "/select/logsql/query", body, headers)
    answer = client.getresponse()
    text = answer.read()
    if answer.status != http.client.OK:
        raise SystemExit(f"the store answers {answer.status}: {text[:300]!r}")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def write(stack: str, run: str, rate: str, total: str, image: str) -> None:
    """A container that says so many lines; prints its longest write and its time in seconds."""
    del stack
    options = [word for option in OPTIONS for word in ("--log-opt", option)]
    argv = ["docker", "run", "--rm", "--name", NAME, "--log-driver", "journald", *options]
    argv += ["--env", f"SLIPWAY_SERVICE={NAME}", "--user", "10001:10001", "--network", "none"]
    argv += ["--entrypoint", "perl", image, "-e", WRITER, run, rate, total]
    done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    longest, took = done.stderr.splitlines()[-1].split()
    print(json.dumps({"longest": float(longest), "took": float(took)}))


def count(stack: str, run: str) -> None:
    """How many of a run's lines the store has, and how many different ones."""
    client, host = store(stack)
    query = f'host:={json.dumps(host)} service:={NAME} request_id:~"^{run}-"'
    (found,) = ask(client, f"{query} | stats count() as lines, count_uniq(request_id) as different")
    print(json.dumps({name: int(value) for name, value in found.items()}))


def fill(stack: str, run: str, total: str) -> None:
    """Give the store so many lines of the last day, of a hundred replicas."""
    client, host = store(stack)
    begin, number = time.time() - 86400, int(total)
    step = 86400 / number
    for first in range(0, number, BATCH):
        lines = [_line(run, host, n, begin + n * step) for n in range(first, min(first + BATCH, number))]
        client.request(
            "POST",
            "/insert/jsonline?_stream_fields=host,component",
            "".join(f"{line}\n" for line in lines).encode(),
            {"Content-Type": "application/stream+json"},
        )
        answer = client.getresponse()
        answer.read()
        if answer.status != http.client.OK:
            raise SystemExit(f"the store answers {answer.status}")
    print(json.dumps({"lines": number}))


def _line(run: str, host: str, n: int, moment: float) -> str:
    said = {
        "level": "info",
        "event": "request",
        "status": 200,
        "duration": 0.0123,
        "request_id": f"{run}-{n:09d}",
    }
    told = {
        "_time": str(int(moment * 1e6)),
        "_msg": json.dumps({**said, "path": f"/api/journeys/{n % 977}", "user_agent": "benchmark of logs"}),
        "host": host,
        "component": f"{NAME}-{n % 100}",
        "request_id": said["request_id"],
        "level": "info",
    }
    return json.dumps(told)


def search(stack: str, run: str, total: str, times: str) -> None:
    """Look for ids, as `make logs ID=` does; prints the milliseconds each search took."""
    client, _host = store(stack)
    (held,) = ask(client, "* | stats count() as lines")
    took = []
    for _ in range(int(times)):
        one = f"{run}-{random.randrange(int(total)):09d}"
        begun = time.perf_counter()
        found = ask(
            client, f'* "{one}" | sort by (_time desc) limit 50 | fields _time, host, component, _msg'
        )
        took.append((time.perf_counter() - begun) * 1000)
        if len(found) != 1:
            raise SystemExit(f"{one} is found {len(found)} times")
    print(json.dumps({"lines": int(held["lines"]), "milliseconds": [round(one, 1) for one in took]}))


if __name__ == "__main__":
    {"write": write, "count": count, "fill": fill, "search": search}[sys.argv[1]](*sys.argv[2:])
