"""What the first visit costs."""

import time

import pytest
from playwright.sync_api import expect

from assistant_site.playground.tests.browser.visits import Visiting
from assistant_site.tests.callers import LiveCaller

FIRST_LOAD_BYTES = 300_000


def test_the_first_load_is_small(vera: LiveCaller, visiting: Visiting, capsys: pytest.CaptureFixture[str]) -> None:
    """All that the first picture takes, as it goes over the wire."""
    visit = visiting(vera, is_first=True)
    network = visit.context.new_cdp_session(visit.page)
    network.send("Network.enable")
    names: dict[str, str] = {}
    sizes: dict[str, float] = {}
    network.on("Network.requestWillBeSent", lambda event: names.update({event["requestId"]: event["request"]["url"]}))
    network.on("Network.dataReceived", lambda event: add(sizes, event["requestId"], event["encodedDataLength"]))
    begun = time.monotonic()

    visit.page.goto("/")
    expect(visit.box()).to_be_focused()
    ready = time.monotonic() - begun
    visit.page.wait_for_load_state("networkidle")

    largest = sorted(((size, names[each]) for each, size in sizes.items()), reverse=True)[:12]
    assert len(sizes) > 10
    assert sum(sizes.values()) < FIRST_LOAD_BYTES, largest
    with capsys.disabled():
        print(
            f" [{sum(sizes.values()) / 1000:.0f} kB in {len(sizes)} answers, ready after {ready * 1000:.0f} ms] ",
            end="",
        )


def add(sizes: dict[str, float], name: str, size: float) -> None:
    sizes[name] = sizes.get(name, 0) + size
