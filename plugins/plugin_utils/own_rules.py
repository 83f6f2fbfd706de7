"""Alert rules of the user's own: what of them can only be judged beside the platform's files and a parser."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ..module_utils._core.errors import Problem, SlipwayError
from ..module_utils._core.monitoring.alert_rules import PATH
from ..module_utils._core.stack.model import Stack
from ..module_utils._core.stack.model_alerts import Rule
from ..module_utils._core.wording import did_you_mean, listed
from . import dashboard_files

_REPOSITORY = Path(__file__).resolve().parents[2]
_RULES = _REPOSITORY / "compose/config/prometheus/rules"
# Steps of escalation are counted.
_NUMBERED = "Unanswered"
# What is left of PromQL when comments and the three kinds of strings are recognised first.
_TOKEN = re.compile(r"#[^\n]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`([^`]*)`", re.DOTALL)
_RANGE = "finds a range of samples, of which there is no alert"
_NO_ALERT = {
    "MatrixSelector": _RANGE,
    "SubqueryExpr": _RANGE,
    "StringLiteral": "is a text, of which there is no alert",
}


def problems(stack: Stack, checkout: Path) -> Iterator[Problem]:
    """Everything wrong with rules that are otherwise in order."""
    for index, rule in enumerate(stack.components.monitoring.alerts.rules):
        path = f"{PATH}/{index}"
        if rule.name in _taken() or re.fullmatch(rf"{_NUMBERED}\d*", rule.name):
            problem = f"{rule.name} is the name of an alert of the platform's"
            yield Problem(f"{path}/name", problem, "Choose another")
        if rule.expr:
            yield from _expression(rule.expr, f"{path}/expr")
        yield from _runbook(rule, f"{path}/runbook_url", checkout)
        yield from _dashboard(rule, f"{path}/dashboard", stack)


def runbooks(stack: Stack, checkout: Path) -> dict[str, str]:
    """Files of the checkout that own rules name and the platform does not have: name -> text."""
    files = [_file(rule) for rule in stack.components.monitoring.alerts.rules]
    return {
        Path(file).name: (checkout / file).read_text(encoding="utf-8")
        for file in files
        if file and not (_REPOSITORY / file).is_file()
    }


def fault(expression: str) -> str | None:
    """Why Prometheus could not evaluate it as a rule's; None: it could, as far as can be told here."""
    parser = _parser()
    try:
        found = parser.parse(_TOKEN.sub(_quoted, expression))
    except ValueError as error:
        return f"is not PromQL: {' '.join(str(error).split())}"
    while isinstance(found, parser.ParenExpr):
        found = found.expr
    if _is_number(parser, found):
        return "is a number without labels, which is always there: the alert would always fire"
    return _NO_ALERT.get(type(found).__name__)


def _is_number(parser: ModuleType, found: Any) -> bool:
    """Whether it is a scalar; comparisons of scalars (`> bool`) are."""
    if isinstance(found, parser.BinaryExpr):
        return _is_number(parser, found.lhs) and _is_number(parser, found.rhs)
    if isinstance(found, parser.UnaryExpr | parser.ParenExpr):
        return _is_number(parser, found.expr)
    if isinstance(found, parser.Call):
        return bool(found.func.return_type == parser.ValueType.Scalar)
    return isinstance(found, parser.NumberLiteral)


def _expression(expression: str, path: str) -> Iterator[Problem]:
    try:
        found = fault(expression)
    except SlipwayError as lacking:
        yield Problem(path, lacking.problem, lacking.remedy)
    else:
        if found:
            yield Problem(path, found, "Correct it; docs/alerts.md has examples")


def _quoted(token: re.Match[str]) -> str:
    """A string in backticks as one in double quotes: of the former the parser reads backslashes, too."""
    return token[0] if token[1] is None else json.dumps(token[1], ensure_ascii=False)


@cache
def _parser() -> ModuleType:
    try:
        parser = importlib.import_module("promql_parser")
    except ImportError as error:
        raise SlipwayError(
            "cannot be read: promql-parser is not on this control node",
            "Install it: scripts/setup, or `pip install promql-parser`",
        ) from error
    kinds = parser.ValueType
    # Its name until Prometheus 3, which the parser follows.
    arguments = [kinds.Matrix, kinds.Scalar, kinds.Scalar]
    parser.register_extra_functions([parser.Function("holt_winters", arguments, kinds.Vector)])
    return parser


@cache
def _taken() -> frozenset[str]:
    """Names of the platform's alerts, those included of which this stack has no part."""
    texts = (path.read_text(encoding="utf-8") for path in _RULES.glob("*.j2"))
    return frozenset(name for text in texts for name in re.findall(r"- alert: (\w+)", text))


def _runbook(rule: Rule, path: str, checkout: Path) -> Iterator[Problem]:
    file = _file(rule)
    if not file:
        return
    own, platform = checkout / file, _REPOSITORY / file
    if not own.is_file() and not platform.is_file():
        yield Problem(path, f"{file} is not a file", f"Write it below {checkout}, or name a URL")
    elif own.is_file() and platform.is_file() and own.read_bytes() != platform.read_bytes():
        yield Problem(path, f"{file} has the name of a runbook of the platform's", "Rename the file")


def _dashboard(rule: Rule, path: str, stack: Stack) -> Iterator[Problem]:
    known = {*dashboard_files.platform(), *dashboard_files.names(stack)}
    # Without a console there is none to lead to.
    if rule.dashboard and stack.components.console and rule.dashboard not in known:
        remedy = f"{did_you_mean(rule.dashboard, known)}Known: {listed(sorted(known))}"
        yield Problem(path, f"{rule.dashboard} is not a dashboard", remedy)


def _file(rule: Rule) -> str:
    """The file that tells what to do; empty where a URL does."""
    return "" if "://" in rule.runbook else rule.runbook.partition("#")[0]
