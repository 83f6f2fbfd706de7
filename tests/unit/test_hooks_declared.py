"""Who is to be told of releases, as a stack declares it: what is read, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.slipway.compose.plugins.module_utils._core.errors import InvalidInputError
from ansible_collections.slipway.compose.plugins.module_utils._core.rules.validation import parse_stack
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model import Host
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_hooks import Email, Hook

HOOKS = """
- {on: [started, failed], webhook: "https://ci.example.com/releases"}
- {on: [failed], webhook_secret: chat, format: slack}
- on: [rolled_back]
  email: {to: [ops@example.com], from: slipway@example.com, server: "smtp.example.com:587"}
"""
MAIL = {"to": ["a@b.example"], "from": "a@b.example", "server": "s.example:25"}


def test_hooks_are_read_as_yaml_writes_them(definition: dict[str, Any], hosts: list[Host]) -> None:
    definition |= {"hooks": yaml.safe_load(HOOKS), "secrets": {"chat": {}}}
    assert True in definition["hooks"][0], "YAML 1.1 reads the key `on` as a boolean"
    hooks = parse_stack(definition, hosts).hooks
    assert hooks[0] == Hook(("started", "failed"), "https://ci.example.com/releases", None, "json", None)
    assert (hooks[1].webhook_secret, hooks[1].format) == ("chat", "slack")
    assert hooks[2].email == Email(
        ("ops@example.com",), "slipway@example.com", "smtp.example.com:587", "starttls", None, None
    )


@pytest.mark.parametrize(
    ("hook", "told"),
    [
        ({"on": ["failed"]}, "stack/hooks/0: names nobody to tell"),
        ({"on": ["failed"], "webhook": "http://a/", "email": MAIL}, "names several to tell"),
        ({"on": [], "webhook": "http://a/"}, "hooks/0/on: is an empty list"),
        ({"on": ["fail"], "webhook": "http://a/"}, "Did you mean failed"),
        ({"webhook": "http://a/"}, "stack/hooks/0/on: is missing"),
        ({"on": ["failed"], "webhook": "ftp://a/"}, 'webhook: is "ftp://a/", not a URL'),
        (
            {"on": ["failed"], "webhook": "https://hooks.slack.com/services/T/B/x"},
            "is a secret: whoever knows",
        ),
        ({"on": ["failed"], "webhook_secret": "chta"}, "chta is not declared. Did you mean chat"),
        ({"on": ["failed"], "webhook_secret": "made"}, "made is generated, so nobody else knows it"),
        ({"on": ["failed"], "webhook": "http://a/", "format": "xml"}, "hooks/0/format: is"),
        ({"on": ["failed"], "email": {**MAIL, "user": "ann"}}, "hooks/0/email: has no password_secret"),
        ({"on": ["failed"], "email": {**MAIL, "password_secret": "chat"}}, "hooks/0/email: has no user"),
        (
            {"on": ["failed"], "email": {**MAIL, "user": "a", "password_secret": "chat", "tls": "none"}},
            "which would show the password",
        ),
        ({"on": ["failed"], "email": {**MAIL, "to": ["ops"]}}, "email/to/0: is"),
        ({"on": ["failed"], "email": {**MAIL, "server": "smtp"}}, "email/server: is"),
        ({"on": ["failed"], "email": {**MAIL, "server": "smtp:99999"}}, "email/server: has port 99999"),
        (
            {"on": ["down"], "email": MAIL},
            "hooks/0/on: tells down by e-mail, which is what alerts do",
        ),
        (
            {"on": ["failed"], "email": MAIL, "signing_secret": "chat"},
            "signs what is posted, and this is e-mail",
        ),
        ({"on": ["up"], "webhook": "http://a/", "signing_secret": "made"}, "made is generated, so nobody"),
        ("https://a/", "stack/hooks/0: is text, not a table"),
    ],
)
def test_a_faulty_hook_is_named_with_its_path(
    definition: dict[str, Any], hosts: list[Host], hook: object, told: str
) -> None:
    definition |= {"hooks": [hook], "secrets": {"chat": {}, "made": {"generate": 32}}}
    with pytest.raises(InvalidInputError) as fault:
        parse_stack(definition, hosts)
    assert any(told in str(problem) for problem in fault.value.problems), fault.value.problems


def test_where_nothing_has_a_route_nobody_can_be_told_how_it_fares(
    definition: dict[str, Any], hosts: list[Host]
) -> None:
    del definition["services"]["web"]["route"]
    definition["hooks"] = [{"on": ["down", "up"], "webhook": "http://a/"}]
    with pytest.raises(InvalidInputError, match="tells down, up, and no service has a route"):
        parse_stack(definition, hosts)
