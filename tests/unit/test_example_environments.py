"""The environments that come with the repository are valid as they stand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.plugin_utils import environment, input_files

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["staging", "production"])
def test_an_example_environment_is_valid(name):
    folder = CHECKOUT / "inventories" / name
    inventory = yaml.safe_load((folder / "hosts.yml").read_text())
    variables = inventory["environments"]["children"][name]["hosts"]
    fleet = environment.fleet(name, {name: list(variables)}, variables)
    definition = yaml.safe_load((folder / f"group_vars/{name}/stack.yml").read_text())["stack"]
    stack = parse_stack(definition, fleet.hosts)
    assert fleet.problems == ()
    assert list(input_files.problems(stack, CHECKOUT, datetime.now(UTC))) == []
