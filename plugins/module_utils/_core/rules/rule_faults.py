"""Alert rules of the user's own: which of them cannot work.

PromQL itself is read on the control node (plugin_utils/own_rules.py), and by promtool on the monitoring hosts
before a release begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..errors import Problem
from ..monitoring.alert_rules import PATH
from ..stack.model import Stack
from ..wording import did_you_mean, listed

# What Prometheus, Alertmanager and Slipway themselves tell alerts by -> what to do instead.
_SET = {
    "alertname": "Write it as the rule's name",
    "severity": "Write it as the rule's severity",
    "service": "Write it as the rule's service",
    "owner": "Write it as the owner of the rule's service, in stack/services",
    "stack": "Remove it: every alert has it",
    "escalation": "Remove it: steps of escalation have it",
    "escalates": "Remove it: steps of escalation have it",
}
_FILLED_IN = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)")
_OWN_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)(?:\s*,\s*\$([A-Za-z_]\w*))?\s*:?=")
_KNOWN = ("value", "labels", "externalLabels", "externalURL")


def rule_faults(stack: Stack) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, rule in enumerate(stack.components.monitoring.alerts.rules):
        path = f"{PATH}/{index}"
        other = first.setdefault(rule.name, index)
        if rule.name and other != index:
            yield Problem(f"{path}/name", f"{rule.name} is the name of {PATH}/{other}", "Choose another")
        if rule.service and rule.service not in stack.services:
            remedy = f"{did_you_mean(rule.service, stack.services)}Known: {listed(sorted(stack.services))}"
            yield Problem(f"{path}/service", f"{rule.service} is not a service", remedy)
        yield from _template(rule.summary, f"{path}/summary")
        yield from _labels(rule.labels, f"{path}/labels")


def _labels(given: Mapping[str, str], path: str) -> Iterator[Problem]:
    for name, value in given.items():
        if name in _SET:
            yield Problem(f"{path}/{name}", "is a label that the platform sets", _SET[name])
        yield from _template(value, f"{path}/{name}")
        if any("value" in _VARIABLE.findall(it) for it in _FILLED_IN.findall(value)):
            problem = "has $value in it: with each new number it would be another alert"
            yield Problem(f"{path}/{name}", problem, "Say the number in summary")


def _template(text: str, path: str) -> Iterator[Problem]:
    """Of Prometheus's templates what can be told without Prometheus: braces and variables."""
    filled, rest = _FILLED_IN.findall(text), _FILLED_IN.sub("", text)
    if "{{" in rest or "}}" in rest:
        yield Problem(path, "has {{ without }}, or }} without {{", "Write {{ $value }}, for example")
    elif told := [f"${name}" for name in _VARIABLE.findall(rest) if name in _KNOWN]:
        remedy = f"Write {{{{ {told[0]} }}}}, with {told[0]}'s label after a dot where it has labels"
        yield Problem(path, f"has {told[0]} outside {{{{ }}}}, which nobody fills in", remedy)
    own = {name for it in filled for pair in _OWN_VARIABLE.findall(it) for name in pair}
    for name in (name for it in filled for name in _VARIABLE.findall(it)):
        if name not in own and name not in _KNOWN:
            remedy = f"{did_you_mean(name, _KNOWN)}Known: {listed(f'${it}' for it in _KNOWN)}"
            yield Problem(path, f"has ${name}, which nobody knows", remedy)
