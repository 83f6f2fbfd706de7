"""Patroni of the image that is deployed takes the times it is told, and corrects none of them."""

from __future__ import annotations

import json
import subprocess

from images import newest
from whole_stack import rendered, stack

TIMES = ("ttl", "loop_wait", "retry_timeout")
ADJUST = """
import json, sys
from patroni.config import Config
times = json.load(sys.stdin)
Config.__new__(Config)._validate_and_adjust_timeouts(times)
print(json.dumps(times))
"""


def test_patroni_keeps_the_times_it_is_told() -> None:
    told = json.loads(rendered(stack(), "h1.test")["config/postgres/dynamic.json"])
    times = {name: told[name] for name in TIMES}
    argv = ["docker", "run", "--rm", "--interactive", "--network=none", newest("postgres")]
    argv += ["python3", "-c", ADJUST]
    said = subprocess.run(argv, input=json.dumps(times), capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == times
