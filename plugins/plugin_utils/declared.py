"""What an environment declares, gathered and judged completely on the control node. No host is contacted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

from ..module_utils._core.errors import InvalidInputError, Problem, SlipwayError
from ..module_utils._core.monitoring.alert_routing import unheard
from ..module_utils._core.postgresql.sites import at_rest
from ..module_utils._core.rules.scaling import scaled
from ..module_utils._core.rules.validation import inspect_stack
from ..module_utils._core.stack.model import Stack
from ..module_utils._core.wording import plain
from . import environment, input_files, other_site, own_rules, packed_modules, pki, secrets
from .native import native
from .once_a_run import once_a_run

_REPOSITORY = Path(__file__).resolve().parents[2]
_INPUTS = (
    "stack",
    "slipway_replicas",
    "site_at_rest",
    "slipway_checkout",
    "slipway_secrets_file",
    "inventory_dir",
)
_SOON = 30
_CA_SOON = 180
_UNSAFE = "Write !unsafe before a text that Prometheus is to fill in, as in docs/alerts.md"

# Here, because the main process imports this for a run's first action, before it forks the first worker.
packed_modules.unpack_known()


@dataclass(frozen=True)
class Declared:
    """An environment as its files declare it: its name, its stack, and where its files are."""

    environment: str
    stack: Stack
    checkout: Path
    secrets_file: Path
    document: secrets.Document
    document_read: bool
    # The other site's, where there is one.
    other_document: secrets.Document
    problems: tuple[Problem, ...]
    remarks: tuple[str, ...] = ()

    @property
    def secrets_path(self) -> str:
        """The secrets file as an operator in the checkout would name it."""
        return _from_checkout(self.secrets_file, self.checkout)

    def valid(self) -> Declared:
        """Itself; InvalidInputError lists every problem."""
        if self.problems:
            raise InvalidInputError(self.problems)
        return self


def declared(task_vars: Mapping[str, Any], templar: Any, loader: secrets.Loader) -> Declared:
    """What the run's environment declares; gathered once a run, and again when its secrets changed."""
    return once_a_run(
        ("declared", _read_from(task_vars, templar)),
        lambda: gather(task_vars, templar, loader, datetime.now(UTC)),
    )


def _read_from(task_vars: Mapping[str, Any], templar: Any) -> tuple[object, ...]:
    """All that may differ between one task's declaration and another's in the same run."""
    inputs = repr([native(task_vars.get(name)) for name in _INPUTS])
    settings = _Settings(task_vars, templar)
    secrets_file = _secrets_file(settings, _checkout(settings))
    found = secrets_file.stat() if secrets_file.exists() else None
    return (
        tuple(task_vars["ansible_play_hosts_all"]),
        inputs,
        # An expression may say something else of each host.
        task_vars["inventory_hostname"] if "{{" in inputs or "{%" in inputs else "",
        (found.st_ino, found.st_mtime_ns, found.st_size) if found else None,
    )


def gather(task_vars: Mapping[str, Any], templar: Any, loader: secrets.Loader, now: datetime) -> Declared:
    """Everything the run's environment declares. Only a run that is for no single environment raises."""
    members = environment.members(task_vars["hostvars"])
    name = environment.select(task_vars["ansible_play_hosts_all"], members)
    fleet = environment.fleet(name, members, task_vars["hostvars"])
    twins = environment.shared_machines(members[name], _endpoints(members, task_vars["hostvars"]))
    engines = _engines(members[name], task_vars["hostvars"])
    settings = _Settings(task_vars, templar)
    definition, wishes = scaled(_definition(settings, name), settings.value("slipway_replicas"))
    checkout = _checkout(settings)
    secrets_file = _secrets_file(settings, checkout)
    inspection = inspect_stack(definition, fleet.hosts)
    document, unreadable = _document(secrets_file, checkout, loader)
    # What does not resolve was reported as such, and reads as nothing.
    found = settings.problems or (*wishes, *inspection.problems)
    stack, remarks = input_files.covered(inspection.stack, checkout)
    files = (*input_files.problems(stack, checkout, now), *own_rules.problems(stack, checkout))
    stack, unlike = other_site.peer(stack, name, members, task_vars["hostvars"])
    others, foreign = _others_document(stack, members, task_vars, checkout, loader)
    if settings.value("site_at_rest"):
        stack = at_rest(stack)
    problems = (*fleet.problems, *twins, *engines, *found, *files, *unlike, *unreadable, *foreign)
    return Declared(name, stack, checkout, secrets_file, document, not unreadable, others, problems, remarks)


def _others_document(
    stack: Stack,
    members: environment.Members,
    task_vars: Mapping[str, Any],
    checkout: Path,
    loader: secrets.Loader,
) -> tuple[secrets.Document, Sequence[Problem]]:
    postgres = stack.components.postgres
    if not postgres or not postgres.other_site:
        return {}, ()
    path = other_site.secrets_file(postgres.other_site.environment, members, task_vars["hostvars"])
    return _document(checkout / path, checkout, loader) if path else ({}, ())


def _definition(settings: _Settings, name: str) -> object:
    definition = settings.value("stack")
    if definition is None and not settings.problems:
        remedy = f"Declare it, for example in inventories/{name}/group_vars/{name}/stack.yml"
        settings.problems.append(Problem("stack", f"is not declared for {name}", remedy))
    return definition


def _checkout(settings: _Settings) -> Path:
    return Path(str(settings.value("slipway_checkout") or _REPOSITORY))


def _secrets_file(settings: _Settings, checkout: Path) -> Path:
    default = Path(str(settings.value("inventory_dir"))) / "secrets.vault.yml"
    return checkout / str(settings.value("slipway_secrets_file") or default)


def _engines(hosts: Sequence[str], variables: environment.HostVariables) -> Iterator[Problem]:
    for host in hosts:
        try:
            yield from environment.engine_settings(host, native(variables[host].get("host_engine_settings")))
        except AnsibleError as error:
            path, remedy = f"inventory/{host}/host_engine_settings", "Correct the expression"
            yield Problem(path, f"does not resolve: {plain(error.message)}", remedy)


def _endpoints(
    members: environment.Members, variables: environment.HostVariables
) -> dict[str, environment.Endpoint | None]:
    found: dict[str, environment.Endpoint | None] = {}
    for host in (host for hosts in members.values() for host in hosts):
        try:
            found[host] = environment.endpoint(variables[host])
        except AnsibleError:
            # Another environment that is not in order must not stand in the way of this one.
            found[host] = None
    return found


def refuse_partial(task_vars: Mapping[str, Any], declared: Declared) -> None:
    members = environment.members(task_vars["hostvars"])
    environment.refuse_partial(task_vars["ansible_play_hosts_all"], declared.environment, members)


def warnings(declared: Declared, now: datetime) -> list[str]:
    """What may be so, and is not well or will not be soon."""
    found = [*unheard(declared.stack), *declared.remarks]
    supplied = secrets.supplied(declared.stack, declared.checkout)
    authority = secrets.ca(declared.document)
    if supplied and pki.days_left(supplied.certificate, now) < _SOON:
        found.append(
            f"The edge's certificate ends in {pki.days_left(supplied.certificate, now)} days. Renew it."
        )
    if authority and pki.days_left(authority.certificate, now) < _CA_SOON:
        found.append(f"The environment's CA ends in {pki.days_left(authority.certificate, now)} days.")
    return found


class _Settings:
    """Variables of the environment, resolved; what does not resolve is a problem like any other."""

    def __init__(self, task_vars: Mapping[str, Any], templar: Any) -> None:
        self._variables = task_vars
        self._templar = templar
        self.problems: list[Problem] = []

    def value(self, name: str) -> object:
        try:
            return native(self._templar.template(self._variables.get(name)))
        except AnsibleError as error:
            # As Prometheus has it, and no expression of Ansible's.
            foreign = "unexpected char '$'" in error.message
            remedy = _UNSAFE if foreign else "Correct the expression, or define what it names"
            self.problems.append(Problem(name, f"does not resolve: {plain(error.message)}", remedy))
            return None


def _document(
    path: Path, checkout: Path, loader: secrets.Loader
) -> tuple[secrets.Document, Sequence[Problem]]:
    try:
        return secrets.load(path, loader), ()
    except SlipwayError as fault:
        return {}, (Problem(_from_checkout(path, checkout), fault.problem, fault.remedy),)


def _from_checkout(path: Path, checkout: Path) -> str:
    return str(path.relative_to(checkout) if path.is_relative_to(checkout) else path)
