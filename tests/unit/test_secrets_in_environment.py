"""Applications that read only environment variables get their secrets from a script, never from Compose."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import InvalidInputError
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host
from ansible_collections.slipway.compose.plugins.plugin_utils.render import with_environment


def test_the_script_exports_each_secret_and_becomes_the_command(tmp_path):
    (tmp_path / "api_token").write_text("s3cr$t `x`")
    script = with_environment(["api_token"]).replace("/run/secrets", str(tmp_path))
    shown = subprocess.run(
        ["sh", "-c", script, "sh", "printenv", "API_TOKEN"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "s3cr$t `x`\n"


def test_a_missing_secret_stops_the_container_instead_of_starting_it_without(tmp_path):
    script = with_environment(["api_token"]).replace("/run/secrets", str(tmp_path))
    done = subprocess.run(["sh", "-c", script, "sh", "true"], capture_output=True, check=False)
    assert done.returncode != 0


def test_without_a_command_there_is_nothing_to_hand_them_to(definition):
    definition["secrets"] = {"api_token": {"generate": 32}}
    definition["services"]["web"] |= {"secrets": ["api_token"], "secrets_in_environment": ["api_token"]}
    with pytest.raises(InvalidInputError, match="needs the service's command"):
        parse_stack(definition, [Host("a.example.com", "10.0.0.1")])
