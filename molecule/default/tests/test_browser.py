"""Two people with a browser each: one books, the other sees it, over a verified certificate."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from edge import Edge
from playwright.sync_api import BrowserContext, Page, Playwright, expect, sync_playwright

from lab import Lab

CHROMIUM = "/usr/bin/chromium"
# A machine without a way out answers none of the browser's own requests; as root it has no sandbox.
QUIET = ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-component-update"]
PATIENCE = 60_000.0  # milliseconds
# The timetable reaches three weeks ahead.
DAY = (datetime.now(UTC) + timedelta(days=3)).date().isoformat()


@pytest.fixture(scope="module")
def engine() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture
def visitors(engine: Playwright, edge: Edge, tmp_path: Path) -> Iterator[list[Page]]:
    """The front page in two browsers that know nothing of each other and trust the environment's CA."""
    contexts = [browser(engine, edge, tmp_path / str(number)) for number in range(2)]
    try:
        yield [_opened(context, edge) for context in contexts]
    finally:
        for context in contexts:
            context.close()


def browser(engine: Playwright, edge: Edge, home: Path, **more: Any) -> BrowserContext:
    """A browser that trusts the environment's CA and knows nothing else."""
    trusted = home / ".pki/nssdb"
    trusted.mkdir(parents=True)
    for words in (["-N", "--empty-password"], ["-A", "-n", "lab", "-t", "C,,", "-i", str(edge.ca_file)]):
        subprocess.run(["certutil", "-d", f"sql:{trusted}", *words], check=True, capture_output=True)
    return engine.chromium.launch_persistent_context(
        home / "profile",
        executable_path=CHROMIUM,
        args=QUIET,
        env={**os.environ, "HOME": str(home)},
        viewport={"width": 1280, "height": 960},
        **more,
    )


def _opened(context: BrowserContext, edge: Edge) -> Page:
    page = context.pages[0]
    page.set_default_timeout(PATIENCE)
    answer = page.goto(f"https://{edge.authority}/")
    assert answer is not None and answer.ok
    expect(page.locator("#connection-text")).to_have_text("Live", timeout=PATIENCE)
    return page


def test_a_journey_is_booked_and_appears_in_a_secondbrowser(
    visitors: list[Page], lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = visitors
    complaints: list[str] = []
    one.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    name = f"Ada{secrets.token_hex(4)}"

    one.fill("input[name=from]", "Berlin")
    one.fill("input[name=to]", "Vienna")
    one.fill("input[name=date]", DAY)
    one.click("#find")
    expect(one.locator("#summary")).to_have_text(re.compile(r"^\d+ on "), timeout=PATIENCE)
    one.locator("#journeys button").first.click()
    one.fill("#book input[name=passenger]", f"{name} Lovelace")
    one.click("#confirm")
    expect(one.locator("#toast")).to_contain_text("Booked. Your reference is", timeout=PATIENCE)

    # The other one is told by the WebSocket, and is told no surname.
    expect(other.locator("#bookings .booking").first).to_contain_text(f"{name} L.", timeout=PATIENCE)
    assert not complaints
    pictures = [lab.folder / f"{name}.png" for name in ("booked", "seen")]
    for page, picture in zip(visitors, pictures, strict=True):
        page.screenshot(path=picture)
    with capsys.disabled():
        print(f"\npictures: {', '.join(str(picture) for picture in pictures)}")
