"""Which probes a host is asked by default."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.checks.health import problems
from ansible_collections.slipway.compose.plugins.module_utils._core.checks.health_plan import probes_for
from ansible_collections.slipway.compose.plugins.module_utils._core.postgresql.sites import at_rest
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_components import Tls
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.topology import topology
from whole_stack import stack, with_console

WHOLE = topology(stack())


def probes(host="h1.test", laid_out=WHOLE):
    return probes_for(laid_out, laid_out.views[host])


def one(component, name, host="h1.test"):
    (found,) = [probe for probe in probes(host) if (probe.component, probe.name) == (component, name)]
    return found


@pytest.mark.parametrize("host", ["h1.test", "h2.test", "h3.test"])
def test_everything_on_a_host_is_asked_at_its_own_address(host):
    view, asked = WHOLE.views[host], probes(host)
    assert problems([probe.to_dict() for probe in asked]) == []
    containers = {probe.target["container"] for probe in asked if probe.kind == "container"}
    names = [*view.components, *(replica.name for replica in view.replicas)]
    assert containers == {f"wayfare-{name}-1" for name in names}
    for component in view.components:
        assert any(probe.component == component and probe.kind != "container" for probe in asked), component
    assert all(
        view.host.address in probe.where
        for probe in asked
        if probe.kind not in ("container", "disk", "memory")
    )


def test_no_probe_has_the_name_of_another():
    named = [(probe.component, probe.name) for probe in probes()]
    assert len(named) == len(set(named))


def test_a_replica_is_asked_in_its_own_protocol():
    assert one("api", "api-blue-2 ready").target == {"url": "http://10.0.0.1:20012/ready"}
    assert one("updates", "updates-blue-1 ready").kind == "http"
    journeys = one("journeys", "journeys-blue-1 ready")
    assert (journeys.kind, journeys.target) == (
        "grpc",
        {"host": "10.0.0.1", "port": 20030, "service": "wayfare.Journeys"},
    )


def test_a_replica_without_a_health_path_is_only_connected_to():
    declared = stack()
    services = {**declared.services, "worker": replace(declared.services["worker"], health_path=None)}
    asked = probes(laid_out=topology(replace(declared, services=services)))
    assert [probe.kind for probe in asked if probe.name == "worker-blue-1 ready"] == ["tcp"]


def test_the_edge_is_asked_for_its_domain_at_its_own_address():
    served = one("edge", "serves wayfare.test")
    assert served.target["url"] == "https://wayfare.test:443/" and served.target["address"] == "10.0.0.1"
    assert served.target["ca"] == "/opt/wayfare/config/host/tls/ca.crt"
    assert "5xx" not in served.expect["status"] and "421" not in served.expect["status"]
    assert one("edge", "certificate of wayfare.test").target["server_name"] == "wayfare.test"


def test_the_edge_of_a_site_at_rest_turns_clients_away_and_serves_its_console():
    resting = topology(at_rest(with_console(stack())))
    asked = {
        it.name: it.expect["status"]
        for it in probes(laid_out=resting)
        if it.kind == "https" and it.component == "edge"
    }
    assert asked.pop("turns away for wayfare.test") == ["503"]
    assert [name for name, status in asked.items() if "503" not in status] == ["serves ops.wayfare.test"]


def test_a_users_certificate_is_held_against_itself():
    own = topology(stack(tls=Tls("web.crt", "web.key")))
    trusted = {probe.target.get("ca") for probe in probes(laid_out=own) if probe.component == "edge"} - {None}
    assert trusted == {"/opt/wayfare/config/edge/tls/tls.crt"}


def test_databases_are_asked_for_their_roles():
    assert one("postgres", "role and lag").expect == {"lag": 1048576}
    assert one("postgres", "role and lag").target["url"] == "https://10.0.0.1:8008"
    assert one("redis", "role and link").target["password_file"] == "/opt/wayfare/config/host/redis_password"


def test_the_registry_is_asked_where_it_stands():
    assert one("registry", "answers", "h3.test").target["url"] == "https://10.0.0.3:5000/v2/"
    assert not [probe for probe in probes("h1.test") if probe.component == "registry"]
