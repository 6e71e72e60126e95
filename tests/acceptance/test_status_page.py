"""The status page in a real browser: every state, wide and narrow, with scripts and without."""

from collections.abc import Callable, Iterator

import pytest

from cdc_sidecar.servers.kafka import KafkaBroker
from tests.acceptance.browser import DESKTOP, MISSING, PHONE, Browser, is_installed, open_browser
from tests.acceptance.conftest import Service
from tests.acceptance.status_scenes import (
    await_slot_seen,
    halted,
    kafka_frozen,
    place_orders,
    reading_snapshot,
    shop,
    standby_of,
)
from tests.waiting import await_true

pytestmark = pytest.mark.skipif(not is_installed(), reason=MISSING)


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Yield one window for all tests."""
    with open_browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def browser(window: Browser) -> Iterator[Browser]:
    """Yield the window; after the test it shows nothing, so that the next one begins anew."""
    yield window
    window.open("about:blank")
    window.console()


def _open(browser: Browser, service: Service) -> None:
    browser.open(f"http://127.0.0.1:{service.sidecar.port}/")


def _check(browser: Browser, service: Service, *facts: str) -> None:
    """Check that a person sees the facts on every screen, and the browser complains of nothing."""
    for script in (False, True):
        for screen in (DESKTOP, PHONE):
            browser.show(screen, script=script)
            _open(browser, service)
            text = browser.text()
            missing = [fact for fact in facts if fact not in text]
            assert not missing, f"{missing} on {screen}:\n{text}"
            assert browser.run("document.documentElement.scrollWidth") <= screen.width
            assert browser.console() == []


def test_the_page_of_a_stream_is_live_shows_an_outage_of_kafka_and_its_end(
    browser: Browser, make_service: Callable[..., Service], kafka: KafkaBroker
) -> None:
    service = shop(make_service)
    service.sidecar.start_and_stream()
    place_orders(service, 7)
    service.await_published()
    await_slot_seen(service)
    facts = ("Streams and is up to date.", "connected", "leader, session 1", "reserved")
    tables = ("public.orders", "OrderPlaced 1", "version 1", "no limit set", "p99")
    _check(browser, service, *facts, *tables, "Session 1", "cdc." + service.name)
    browser.run("window.opened = 1")
    await_true(lambda: browser.text("#live") == "live", what="the page is live")
    place_orders(service, 4000)
    await_true(lambda: "4,007" in browser.text("#tables"), what="the new rows on the page")
    with kafka_frozen(service, kafka):
        await_true(lambda: "Cannot publish" in browser.text("#verdict"), what="the outage")
        assert browser.run("document.title") == f"{service.name}: streaming"
        _check(browser, service, "Kafka has been away for", "No change is lost", "What to do")
    browser.run("window.opened = 2")
    await_true(lambda: "up to date" in browser.text("#verdict"), what="the end of the outage")
    assert "was away for" in browser.text("#past")
    assert browser.run("window.opened") == 2  # the page was never loaded again
    service.sidecar.terminate()
    await_true(lambda: "not live since" in browser.text("#live"), what="the end of the process")


def test_the_page_of_a_standby_and_that_of_a_snapshot(
    browser: Browser, make_service: Callable[..., Service]
) -> None:
    service = reading_snapshot(make_service)
    facts = ("Snapshot: ", "of about 40,000 rows", "reading", "rows/s")
    _check(browser, service, "Streams and is up to date.", *facts)
    standby = standby_of(service, make_service)
    _check(browser, standby, "Stands by: another sidecar streams", "standby", "not asked", "Lag")


def test_the_page_of_a_halt_says_why_and_what_to_do(
    browser: Browser, make_service: Callable[..., Service]
) -> None:
    service = halted(make_service)
    _check(browser, service, "Halted ", "CDC-208", "public.invoices", "What to do about it")
    links = browser.run("[...document.querySelectorAll('.runbook a')].map(link => link.href)")
    assert links[0].endswith("/reference/errors.md#postgres")
    browser.run("document.querySelector('#error summary').click()")
    assert "hint:" in browser.text("#error")
    _stays_while_live(browser)


def _stays_while_live(browser: Browser) -> None:
    """Check that what a person has opened or selected stays, and goes on afterwards."""
    browser.run("document.querySelector('#configuration summary').click()")
    browser.run("getSelection().selectAllChildren(document.querySelector('.sentence'))")
    sentence, started = browser.text(".sentence"), browser.text("#about time")
    await_true(lambda: browser.text("#about time") != started, what="another second on the page")
    assert browser.run("document.querySelector('#configuration').open")
    assert browser.text(".sentence") == sentence
    browser.run("getSelection().removeAllRanges()")
    await_true(lambda: browser.text(".sentence") != sentence, what="the sentence goes on")
    assert browser.console() == []
