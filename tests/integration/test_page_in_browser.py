"""The page in a real browser: it shows the summary's figures, quickly, and loads nothing from other hosts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from services.collector.publish.files import run_files
from services.collector.publish.files.html_page import report
from services.collector.publish.view_model import View, view
from services.collector.verdict.snapshot import Snapshot, empty
from tests.builders.runs import RUN, good_run, judged
from tests.builders.snapshots import START_US, example, named
from tests.integration.browser import PLACES, WHY, Served, Watched, browsing, find_browser
from tests.integration.processes import LocalRun

CHARTS = ("throughput", "latency", "heat", "durations", "lanes")
HOSTILE = "<img src=x onerror=alert(1)>"

Open = Callable[..., Watched]
Serve = Callable[[Snapshot], Served]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser: without one a test is skipped on a laptop, and fails in CI."""
    if find_browser() is None:
        if os.environ.get("CI"):
            pytest.fail("CI has no browser: install chromium", pytrace=False)
        pytest.skip("no browser is installed")
    with browsing() as started:
        yield started


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve a page of a run until the test has ended."""
    with ExitStack() as served:
        yield lambda shown: served.enter_context(Served(shown))


@pytest.fixture
def look(browser: Browser, serve: Serve, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Open an address; at the end assert that there were no errors and no requests to other hosts."""
    opened: list[Watched] = []

    def at(address: str, **options: Any) -> Watched:
        watched = Watched(browser, **options)
        opened.append(watched)
        watched.page.goto(address)
        watched.wait("document.getElementById('verdict').textContent !== 'no run yet'", 10)
        return watched

    yield at
    for watched in opened:
        watched.close(request.node.name)
    for watched in opened:
        assert [] == watched.errors
        assert 1 == len(watched.hosts())


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A page with a failed run of five clients; no test changes it."""
    with Served(example()) as made:
        yield made


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    """A real run of three clients that has ended, with its page still up."""
    with LocalRun(tmp_path_factory.mktemp("played"), CLIENTS=3, RECORDS=1500, RATE=1000, KEEP=1) as run:
        run.wait_for_line(" PASS ", 40)
        yield run


def address(run: LocalRun) -> str:
    """Return the address of a local run's page."""
    return f"http://127.0.0.1:{run.page_port}/"


def draws_everything(watched: Watched) -> None:
    """Wait until every chart is drawn; a chart is drawn once it is scrolled into view."""
    for name in CHARTS:
        watched.page.locator(f"#{name}").scroll_into_view_if_needed()
        watched.wait(f"document.querySelector('#{name} .main-svg') !== null", 20)


def same_as(expected: View, watched: Watched) -> None:
    """Assert that all texts of a page equal those of a view."""
    assert (expected.verdict or expected.state) == watched.page.text_content("#verdict")
    assert expected.headline == watched.page.text_content("#headline")
    tiles = [tile for tile in expected.tiles if tile.key != "verdict"]
    assert [tile.text for tile in tiles] == watched.texts("#tiles dd:nth-child(2)")
    assert [row.texts[0] for row in expected.delivery] == watched.texts("#delivery tbody td:nth-child(2)")
    assert [answer.detail for answer in expected.checks] == watched.texts("#checks tbody td:nth-child(3)")
    times = [cell.text for row in expected.times.rows for cell in row]
    assert times == watched.texts("#times tbody :is(th, td)")
    # A sparkline in a cell has no text.
    drawn = [column.key for column in expected.clients.columns].index("over_time")
    cells = [cell.text for row in expected.clients.rows for at, cell in enumerate(row) if at != drawn]
    assert sorted(cells) == sorted(watched.texts("#clients tbody :is(th, td):not(:has(svg))"))


def test_the_numbers_are_the_summarys(look: Open, played: LocalRun) -> None:
    """Every text on the page of a real run equals that of the view of its summary."""
    watched = look(address(played))
    watched.wait("document.getElementById('verdict').textContent === 'PASS'")
    run = played.volumes.newest()
    made = run_files.load_snapshot(played.volumes.root, run)
    written = json.loads(run_files.summary_path(played.volumes.root, run).read_bytes())

    assert made is not None
    assert f"{written['totals']['received']:,}" in watched.texts("#tiles dd")[0]
    same_as(view(made, ""), watched)


def test_a_block_shows_its_records(look: Open, played: LocalRun) -> None:
    """A click on a bar opens its block with the logged records; entering a number opens another block."""
    watched = look(address(played))
    draws_everything(watched)
    box = watched.page.locator("#lanes .nsewdrag").bounding_box()
    assert box is not None
    watched.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 13)
    watched.wait("document.querySelectorAll('#messages tbody tr').length === 10")

    title, first = watched.page.text_content("#block-title") or "", watched.texts("#messages tbody tr:first-child > *")
    client, block = title.split(",")[0], title.rsplit(" ", 1)[1]
    logs = (played.volumes.root / "logs" / played.volumes.newest() / client).glob("*.jsonl")
    lines = [json.loads(line) for path in sorted(logs) for line in path.read_text(encoding="utf-8").splitlines()]
    (logged,) = (line for line in lines if line["kind"] == "block" and line["block"] == int(block))

    assert "client-1" == client
    assert f"{logged['messages'][0]['seq']:,}" == first[0]
    assert logged["messages"][0]["record"] == json.loads(first[-1])

    watched.page.select_option("#chosen-client", "client-2")
    watched.page.fill("#chosen-block", "2")
    watched.page.press("#chosen-block", "Enter")
    watched.wait("document.querySelectorAll('#messages tbody tr').length === 25")

    assert "client-2, session 1, block 2" == watched.page.text_content("#block-title")


def test_a_run_that_is_over_cannot_be_controlled(look: Open, played: LocalRun) -> None:
    """Without a server the control bar is disabled and shows the reason."""
    watched = look(address(played))
    watched.wait("document.getElementById('reply').textContent === 'the run is over'")

    assert 0 == watched.page.locator("#control :enabled").count()


def test_an_operator_controls_the_run(look: Open, tmp_path: Path) -> None:
    """A control request is applied, confirmed, and drawn as a mark on the charts."""
    with LocalRun(tmp_path, CLIENTS=1, RECORDS=100_000, RATE=200) as run:
        run.wait_for_line("running")
        watched = look(address(run))
        watched.wait("!document.getElementById('control').hidden && !document.getElementById('rate').disabled", 10)
        watched.page.fill("#rate", "321")
        watched.page.press("#rate", "Enter")
        watched.wait("/running at 321 records/.test(document.getElementById('reply').textContent)")
        watched.page.click("text=Pause")
        watched.wait("document.getElementById('verdict').textContent === 'paused'")
        watched.wait("/paused/.test(document.getElementById('reply').textContent)")
        watched.wait("[...document.querySelectorAll('#events td')].some((cell) => cell.textContent === 'pause')")
        watched.close("control")


def test_changes_are_shown_at_once(look: Open, serve: Serve) -> None:
    """A published change is shown within a second."""
    served = serve(example(2))
    watched = look(served.address)
    served.show(example(3, headline="something new"))
    watched.wait("document.getElementById('headline').textContent === 'something new'", 1.0)

    assert 3 == watched.page.locator("#clients tbody tr").count()
    assert "connected" == watched.page.text_content("#connection")


def test_checks_have_no_answers_while_the_run_goes_on(look: Open, serve: Serve) -> None:
    """During a run the checks are named in a sentence; when it is over, a table has their answers."""
    ended = example(2)
    names = [check.name for check in ended.summary.checks]
    waiting = [msgspec.structs.replace(check, ok=None, detail="") for check in ended.summary.checks]
    served = serve(example(2, state="running", verdict=None, checks=waiting))
    watched = look(served.address)

    assert f"To be decided: {', '.join(names)}." == watched.page.text_content("#checks-later")
    assert not watched.page.is_visible("#checks")

    served.show(ended)
    watched.wait(f"document.querySelectorAll('#checks tbody tr').length === {len(names)}", 5)

    assert not watched.page.is_visible("#checks-later")
    assert watched.page.is_visible("#checks")


def test_a_phone_shows_whole_numbers(look: Open, serve: Serve) -> None:
    """On a screen of 390 pixels the page does not scroll sideways, and neither do its tables of numbers."""
    watched = look(serve(example(3)).address, width=390)
    wide = "[document.documentElement, ...document.querySelectorAll('.wide:not(.tall)')]"

    assert [] == watched.page.evaluate(
        f"{wide}.filter((element) => element.scrollWidth > element.clientWidth).map((element) => element.outerHTML)"
    )


def test_a_phone_shows_the_columns_of_clients_that_say_something(look: Open, serve: Serve) -> None:
    """On a screen of 390 pixels the table of clients fits, and has a column of duplicates only if there are any."""
    heads = "[...document.querySelectorAll('#clients thead th')].filter((head) => head.offsetParent)"
    frame = "document.getElementById('clients').parentElement"
    served = serve(example(1))
    watched = look(served.address, width=390)
    shown = ["client", "received", "missing", "latency p99"]

    assert shown == watched.page.evaluate(f"{heads}.map((head) => head.textContent)")
    assert watched.page.evaluate(f"{frame}.scrollWidth <= {frame}.clientWidth")

    good = example(1)
    doubled = [msgspec.structs.replace(good.summary.clients[0], duplicates=2)]
    served.show(good._replace(summary=msgspec.structs.replace(good.summary, clients=doubled)))
    watched.wait(f"{heads}.some((head) => head.textContent === 'duplicates')", 5)


def test_a_server_that_cannot_be_asked_is_reported(look: Open, serve: Serve) -> None:
    """If a run in progress cannot be controlled, the bar shows the reason."""
    watched = look(serve(example(2, state="running", verdict=None)).address)
    watched.wait(f"document.getElementById('reply').textContent === {json.dumps(WHY)}")

    assert 0 == watched.page.locator("#control :enabled").count()


def test_charts_show_one_stretch_of_time(look: Open, served: Served) -> None:
    """Zooming applies to all charts over time, and one key shows the whole run again."""
    watched = look(served.address, height=3000)
    draws_everything(watched)
    ranges = "['throughput', 'latency', 'heat', 'lanes'].map((id) => document.getElementById(id).layout.xaxis.range)"
    whole = watched.page.evaluate(ranges)
    watched.page.click("text=Zoom in")
    zoomed = watched.page.evaluate(ranges)

    assert [[START_US / 1000, START_US / 1000 + 30_000]] * 4 == whole
    assert [[START_US / 1000 + 7_500, START_US / 1000 + 22_500]] * 4 == zoomed

    watched.page.focus("text=Whole run")
    watched.page.keyboard.press("Enter")

    assert whole == watched.page.evaluate(ranges)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(look: Open, served: Served, scheme: str) -> None:
    """The page satisfies the accessibility rules, including contrast, in the light and the dark theme."""
    watched = look(served.address, scheme=scheme, height=3000)
    draws_everything(watched)
    found = Axe().run(watched.page)

    assert 0 == found.violations_count, found.generate_report()


def test_clients_are_sorted_by_keyboard(look: Open, served: Served) -> None:
    """A column heading is a button: it sorts, reverses, and restores the original order."""
    watched = look(served.address)
    names, head = "#clients tbody th", "#clients th:has-text('block size')"
    watched.page.focus(f"{head} button")
    watched.page.keyboard.press("Enter")
    watched.page.keyboard.press("Enter")

    assert "descending" == watched.page.get_attribute(head, "aria-sort")
    assert [f"client-{number}" for number in (5, 4, 3, 2, 1)] == watched.texts(names)

    watched.page.keyboard.press("Enter")

    assert watched.page.get_attribute(head, "aria-sort") is None
    assert [f"client-{number}" for number in (1, 2, 3, 4, 5)] == watched.texts(names)

    watched.page.fill("#filter", "slow")

    assert ["client-5"] == watched.texts(names)
    assert "1 of 5 clients match." == watched.page.text_content("#matches")


@pytest.mark.serial
def test_200_clients_are_shown_at_once(look: Open, serve: Serve) -> None:
    """A page of 200 clients is drawn within a second, and so is a change; the best of three attempts counts."""
    took, served = [], serve(example(200))
    for _ in range(3):
        watched = look(served.address)
        watched.wait("document.querySelectorAll('#clients tbody tr').length === 200")
        took.append(watched.page.evaluate("performance.getEntriesByName('shown')[0].startTime"))
        watched.close("200")
        if took[-1] < 1000:
            break
    last = look(served.address)
    draws_everything(last)
    served.show(example(200, headline="something new"))
    last.wait("document.getElementById('headline').textContent === 'something new'", 1.0)

    assert 1000 > min(took)


def test_a_restart_is_survived(look: Open) -> None:
    """The page reports that the collector is gone, and reconnects by itself when it is back."""
    with Served(example(2)) as served:
        port, watched = served.port, look(served.address)
        watched.wait("document.getElementById('connection').textContent === 'connected'")
    watched.wait("document.getElementById('connection').textContent === 'disconnected'")
    with Served(example(2, headline="it is back"), port):
        watched.wait("document.getElementById('headline').textContent === 'it is back'", 15)

        assert "connected" == watched.page.text_content("#connection")
        watched.close("restart")
    # The browser logs the failed requests meanwhile.
    watched.errors = [error for error in watched.errors if "ERR_" not in error]


def test_the_theme_is_kept(look: Open, served: Served) -> None:
    """The chosen theme is remembered, in the charts as well."""
    watched = look(served.address)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = watched.page.evaluate(ground)
    watched.page.click("#theme")
    watched.page.click("#theme")
    dark = watched.page.evaluate(ground)
    watched.page.reload()

    assert light != dark == watched.page.evaluate(ground)
    assert "Theme: dark" == watched.page.text_content("#theme")


def test_it_prints_on_white_paper(look: Open, served: Served) -> None:
    """A dark page is printed light and narrow, its charts too, and is unchanged afterwards."""
    watched = look(served.address, scheme="dark")
    draws_everything(watched)
    facts = "[getComputedStyle(document.body).backgroundColor, document.querySelector('#lanes .main-svg').clientWidth]"
    before = watched.page.evaluate(facts)
    watched.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    (white, narrow), (dark, wide) = watched.page.evaluate(facts), before

    assert "rgb(244, 246, 248)" == white != dark
    assert 704 > narrow < wide

    watched.page.evaluate("dispatchEvent(new Event('afterprint'))")

    assert before == watched.page.evaluate(facts)


def test_a_log_makes_no_markup(look: Open, serve: Serve) -> None:
    """A client name that contains HTML is shown as text, in tables and charts."""
    watched = look(serve(named(example(2), HOSTILE)).address)
    draws_everything(watched)

    assert HOSTILE == watched.texts("#clients tbody th")[0]
    assert 0 == watched.page.locator("img").count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_opens_from_a_file(look: Open, tmp_path: Path, scheme: str) -> None:
    """The report file shows figures and charts without server or network, and hides functions that need a server."""
    made, path = example(), tmp_path / "report.html"
    path.write_bytes(report(made))
    watched = look(path.as_uri(), scheme=scheme, height=3000)
    draws_everything(watched)
    found = Axe().run(watched.page)

    same_as(view(made, PLACES), watched)
    assert 0 == watched.page.locator("#control, #dot, #block, #tool").count()
    assert 0 == found.violations_count, found.generate_report()


@pytest.mark.parametrize(
    "made",
    [Snapshot(judged(good_run(20)), empty(RUN)), Snapshot(judged({}), empty(RUN)), example(1)],
    ids=["no-timeline", "empty", "one-client"],
)
def test_every_report_opens(look: Open, tmp_path: Path, made: Snapshot) -> None:
    """A run without a timeline, an empty run and a run of one client have a report without errors."""
    path = tmp_path / "report.html"
    path.write_bytes(report(made))
    watched = look(path.as_uri())
    draws_everything(watched)

    assert made.summary.verdict == watched.page.text_content("#verdict")


def test_without_scripts_it_states_so(browser: Browser, served: Served) -> None:
    """Without JavaScript the page says that it needs JavaScript, and in which files the figures are."""
    page = browser.new_page(java_script_enabled=False)
    page.goto(served.address)

    assert "summary.json" in page.inner_text("noscript")
    page.close()
