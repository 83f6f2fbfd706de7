"""The program that makes labs, on an engine that others use meanwhile."""

from __future__ import annotations

from pathlib import Path

from slipway_lab import cli
from slipway_lab.engine import Docker

# As Docker answers where the second network is gone since it was listed.
ENGINE = """#!/bin/sh
case "$2" in
ls) printf '1a\\n2b\\n' ;;
inspect) echo 'bridge 172.17.0.0/16'; echo 'network 2b not found' >&2; exit 1 ;;
esac
"""


def test_a_network_that_others_remove_meanwhile_is_in_nobodys_way(tmp_path: Path) -> None:
    engine = tmp_path / "docker"
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    assert cli._subnets(Docker([str(engine)]), "lab") == ["172.17.0.0/16"]
