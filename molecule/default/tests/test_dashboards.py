"""One address shows how the lab is, to whoever has its password: every question there finds something."""

from __future__ import annotations

import base64
import json
import re
import secrets
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from edge import Answer, Edge
from playwright.sync_api import Page, expect, sync_playwright
from test_browser import PATIENCE, browser
from test_monitoring import ask
from test_traces import KEPT, visit
from waiting import eventually

from lab import TOOLS, Lab

# A rate needs a few samples of what was restarted just now.
MINUTES = 240.0
Find = Callable[[str], list[Any]]
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def password(lab: Lab) -> str:
    vault = [str(TOOLS / "ansible-vault"), "view", str(lab.folder / "secrets.vault.yml")]
    found = re.search(r"^ +console_password: (\S+)$", lab.run(vault, timeout=60).stdout, re.MULTILINE)
    assert found, "the lab's secrets have no password of the console"
    return found[1]


@pytest.fixture(scope="module")
def console(edge: Edge) -> Edge:
    return Edge(f"ops.{edge.domain}", edge.https_port, edge.http_port, edge.ca_file)


@pytest.fixture(scope="module")
def cookie(console: Edge, password: str) -> str:
    return str(get(console, "/", f"operator:{password}").headers["Set-Cookie"]).partition(";")[0]


@pytest.fixture(scope="module")
def told(console: Edge, password: str, cookie: str) -> dict[str, Any]:
    return dict(get(console, "/dashboards.json", f"operator:{password}", Cookie=cookie).json())


def get(console: Edge, path: str, login: str | None, **headers: str) -> Answer:
    if login:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    return console.get(path, Host=console.authority, **headers)


def completed(query: str) -> str:
    """As the page asks it, of all hosts and services."""
    for name, value in (("$__rate_interval", "75s"), ("$host", ".+"), ("$service", ".+")):
        query = query.replace(name, value)
    return query


@pytest.fixture(scope="module")
def find(console: Edge, password: str, cookie: str) -> Find:
    """What a query finds, asked where the page asks."""

    def asked(query: str) -> list[Any]:
        path = f"/prometheus/api/v1/query?query={urllib.parse.quote(completed(query))}"
        answer = get(console, path, f"operator:{password}", Cookie=cookie)
        assert answer.status == 200, f"{query}: {answer.body!r}"
        return list(answer.json()["data"]["result"])

    return asked


def unanswered(find: Find, told: dict[str, Any]) -> list[str]:
    """Where nothing is found, and that is a fault."""
    return [
        f"{board['name']}: {panel['title']}"
        for board in told["dashboards"]
        for panel in (panel for row in board["rows"] for panel in row["panels"])
        for query in panel["queries"]
        if panel["empty"] is None and not find(query["query"])
    ]


def test_every_query_of_every_dashboard_finds_something(
    lab: Lab, edge: Edge, find: Find, told: dict[str, Any]
) -> None:
    names = {board["name"] for board in told["dashboards"]}
    assert names >= {"overview", "service", "edge", "hosts", "containers", "monitoring", "business"}
    assert names >= {"postgres", "redis"}
    assert ("backups" in names) is ("backup" in lab.stack["components"])
    # Rates of what nobody has asked for yet would be empty.
    for path in ("/", "/api/places"):
        assert edge.get(path).status == 200
    assert eventually(lambda: unanswered(find, told), lambda bad: bad == [], MINUTES) == []


def test_what_may_be_empty_is_little_and_says_why(told: dict[str, Any]) -> None:
    """The honest exceptions: what is only there after an event, or on some hosts."""
    panels = [panel for board in told["dashboards"] for row in board["rows"] for panel in row["panels"]]
    silent = [panel for panel in panels if panel["empty"]]
    assert len(silent) < len(panels) / 3
    assert all(" " in panel["empty"] for panel in silent)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/dashboards.json",
        "/prometheus/api/v1/query?query=up",
        "/logs/search.html",
        "/logs/traces",
        "/logs/traces/select/logsql/query?query=*%20%7C%20limit%201",
    ],
)
def test_a_stranger_and_a_wrong_password_are_refused(console: Edge, cookie: str, path: str) -> None:
    # With the cookie, so that this counts for no guess.
    for login in (None, "operator:wrong", "admin:admin"):
        answer = get(console, path, login, Cookie=cookie)
        assert answer.status == 401
        assert b"wayfare" not in answer.body


def test_nothing_can_be_changed(console: Edge, password: str, cookie: str) -> None:
    login = {"Authorization": f"Basic {base64.b64encode(f'operator:{password}'.encode()).decode()}"}
    for path in (
        "/prometheus/-/reload",
        "/prometheus/api/v1/admin/tsdb/delete_series?match[]=up",
        "/alertmanager/api/v2/silences",
    ):
        answer = console.request("POST", path, {**login, "Cookie": cookie, "Host": console.authority}, b"{}")
        assert answer.status in (403, 404)


def test_logs_are_searched_at_the_same_address(
    edge: Edge, console: Edge, password: str, cookie: str, told: dict[str, Any]
) -> None:
    assert told["menu"]["Logs"] == "logs/search.html"
    login = f"operator:{password}"
    page = get(console, "/logs/search.html", login, Cookie=cookie)
    assert page.status == 200
    assert b"<form" in page.body
    assert edge.get("/api/places", X_Request_ID="console-finds-this").status == 200
    query = urllib.parse.quote('_time:15m "console-finds-this" | limit 1')

    def found() -> list[dict[str, Any]]:
        answer = get(console, f"/logs/select/logsql/query?query={query}", login, Cookie=cookie)
        assert answer.status == 200
        return [json.loads(line) for line in answer.body.splitlines() if line.strip()]

    assert eventually(found, lambda lines: len(lines) == 1, 60.0)


@pytest.fixture(scope="module")
def page(console: Edge, password: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with sync_playwright() as playwright:
        login = {"username": "operator", "password": password}
        context = browser(playwright, console, tmp_path_factory.mktemp("console"), http_credentials=login)
        try:
            one = context.pages[0]
            one.set_default_timeout(PATIENCE)
            answer = one.goto(f"https://{console.authority}/")
            assert answer is not None and answer.ok
            yield one
        finally:
            context.close()


def opened(page: Page, console: Edge, name: str) -> None:
    page.goto(f"https://{console.authority}/#/{name}")
    expect(page.locator(f"body[data-shown={name}]")).to_be_attached(timeout=PATIENCE)


def wrong(page: Page) -> list[str]:
    """Panels that are neither drawn nor say what it means that they are empty."""
    return list(
        page.eval_on_selector_all(
            ".panel[data-state]",
            "all => all.filter(one => one.dataset.state === 'failed' || one.querySelector('.fault'))"
            ".map(one => one.innerText)",
        )
    )


def test_a_browser_draws_each_panel_of_each_dashboard(
    page: Page, console: Edge, told: dict[str, Any], lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures: list[Path] = []
    for board in told["dashboards"]:
        panels = sum(len(row["panels"]) for row in board["rows"])

        opened(page, console, board["name"])
        assert page.locator(".panel").count() == panels
        # It asks again by itself, twice a minute.
        assert eventually(lambda: wrong(page), lambda bad: bad == [], MINUTES) == [], board["name"]
        drawn = page.locator(".panel[data-state=drawn]").count()
        assert drawn > panels / 2, board["name"]
        pictures.append(lab.folder / f"console-{board['name']}.png")
        page.screenshot(path=pictures[-1], full_page=True)
    with capsys.disabled():
        print(f"\npictures: {', '.join(map(str, pictures))}")


@pytest.fixture(scope="module")
def booked(edge: Edge) -> tuple[str, str]:
    """A journey that was searched and booked just now: its trace, and the id of its requests."""
    trace, request = secrets.token_hex(16), f"visit-{secrets.token_hex(8)}"
    visit(edge, trace, request)
    return trace, request


def searched(page: Page) -> list[str]:
    """The rows that a search of logs or traces finds; it is asked once more."""
    with page.expect_response(lambda answer: "/select/logsql/query" in answer.url):
        page.click("#search button")
    done = re.compile(r"^\d+ (lines|traces) in \d+ ms")
    expect(page.locator("#said")).to_have_text(done, timeout=PATIENCE)
    return page.locator("#rows tr").all_inner_texts()


def drawn(page: Page) -> set[str]:
    """Services and names of the spans that a trace's page shows; it is opened once more."""
    page.reload()
    expect(page.locator("#said")).to_contain_text(" spans, ", timeout=PATIENCE)
    return {" ".join(one.split()) for one in page.locator("#waterfall .name").all_inner_texts()}


def test_the_trace_of_a_journey_just_booked_is_found_and_drawn(
    page: Page, console: Edge, lab: Lab, booked: tuple[str, str]
) -> None:
    trace, request = booked
    page.goto(f"https://{console.authority}/logs/traces")
    page.fill("[name=id]", request)
    found = eventually(lambda: searched(page), lambda rows: "api edge journeys" in "".join(rows), KEPT)
    assert len(found) == 1 and request in found[0]
    page.click("#rows a")
    page.wait_for_url(f"**/logs/traces?trace={trace}")
    wanted = {"edge POST api", "api POST /api/bookings"}
    names = eventually(lambda: drawn(page), lambda names: wanted <= names, KEPT)
    assert wanted <= names
    assert {name.split()[0] for name in names} == {"edge", "api", "journeys"}
    bars = page.locator("#waterfall i")
    places = [bars.nth(number).bounding_box() for number in range(bars.count())]
    assert all(place and place["width"] > 0 for place in places)
    booking = page.locator("#waterfall details", has_text="POST /api/bookings").first
    booking.locator("summary").click()
    expect(booking).to_contain_text(request)
    page.screenshot(path=lab.folder / "console-trace.png")
    # And from there to its lines.
    page.click("#said a")
    line = page.locator("#rows tr", has_text=trace).first
    expect(line).to_be_visible(timeout=PATIENCE)


def test_the_lines_of_a_booking_are_found_by_its_id(
    page: Page, console: Edge, lab: Lab, booked: tuple[str, str]
) -> None:
    trace, request = booked
    page.goto(f"https://{console.authority}/logs/search.html")
    page.fill("[name=query]", f'"{request}"')

    def components(rows: list[str]) -> set[str]:
        return {cell.partition("-")[0] for row in rows for cell in row.split("\t")[2:3]}

    wanted = {"edge", "api"}
    found = eventually(lambda: searched(page), lambda rows: wanted <= components(rows), KEPT)
    assert wanted <= components(found), found
    assert all(request in row for row in found)
    page.screenshot(path=lab.folder / "console-logs.png")
    # And from a line to the trace that it belongs to.
    page.locator("#rows a").first.click()
    page.wait_for_url(f"**/logs/traces?trace={trace}")
    expect(page.locator("#waterfall")).to_contain_text("POST /api/bookings", timeout=PATIENCE)


def test_a_release_is_known_and_alerts_have_their_page(page: Page, console: Edge, lab: Lab) -> None:
    began = ask(lab, "query?query=slipway_run_begun_timestamp_seconds")["result"]
    assert began
    opened(page, console, "alerts")
    assert "Firing" in page.inner_text("#rows")


def test_it_is_readable_on_a_telephone(page: Page, console: Edge, lab: Lab) -> None:
    page.set_viewport_size(PHONE)
    try:
        opened(page, console, "overview")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.screenshot(path=lab.folder / "console-telephone.png")
    finally:
        page.set_viewport_size({"width": 1280, "height": 960})


def test_every_alert_that_prometheus_knows_leads_here(lab: Lab, console: Edge, told: dict[str, Any]) -> None:
    names = {board["name"] for board in told["dashboards"]}
    rules = [rule for group in ask(lab, "rules?type=alert")["groups"] for rule in group["rules"]]
    assert len(rules) > 50
    for rule in rules:
        link = rule["annotations"]["dashboard"]
        assert link.startswith(f"https://{console.authority}/#/")
        assert link.partition("#/")[2].partition("?")[0] in names, link
