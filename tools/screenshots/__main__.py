"""Takes the pictures that the documents show, of real runs on this machine: ``make screenshots``."""

from __future__ import annotations

import io
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from services.collector.publish.files import run_files
from services.collector.publish.terminal import styled_text, summary_text
from services.collector.publish.view_model import view
from tests.integration.browser import browsing, find_browser
from tests.integration.processes import LocalRun, System
from tests.poll import poll_until

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
WIDTH, HEIGHT = 1360, 1160
VERDICT_SECONDS = 60.0
LOST_SECONDS = 4.0
MOST_BYTES = 300_000
TERMINAL = """\
<style>body {{ margin: 0 }} pre {{ display: inline-block; margin: 0; padding: 16px 24px; background: #14181f;
color: #d6dde6; font: 14px/1.35 "DejaVu Sans Mono", ui-monospace, monospace }}</style><pre>{code}</pre>
"""


def main() -> int:
    """Take all pictures, and tell their sizes; return how many are too great."""
    if find_browser() is None:
        print("no browser is installed: chromium", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    with browsing() as browser, tempfile.TemporaryDirectory() as folder:
        take_good(browser, Path(folder) / "good")
        take_failed(browser, Path(folder) / "failed")
    sizes = {path.name: path.stat().st_size for path in sorted(FOLDER.glob("*.png"))}
    for name, size in sizes.items():
        print(f"{name:<24}{size / 1000:>8,.0f} kB")
    return sum(size > MOST_BYTES for size in sizes.values())


def take_good(browser: Browser, folder: Path) -> None:
    """Take a run that goes well: while it goes on, afterwards by day and by night, and what the terminal says."""
    with LocalRun(folder, CLIENTS=5, RECORDS=16_000, RATE=1000, KEEP=1) as run:
        address = f"http://127.0.0.1:{run.page_port}/"
        run.says("running", 20)
        with looking(browser, address) as page:
            page.wait_for_timeout(8_000)
            control(page)
            take(page, "page-running")
            ended(page)
            take(page, "page-pass")
        with looking(browser, address, dark=True) as page:
            ended(page)
            take(page, "page-pass-dark")
            records(page)
            take_lanes(page, "page-block")
        take_terminal(browser, folder, run.volumes.newest())


def take_failed(browser: Browser, folder: Path) -> None:
    """Take a run in which one of three clients vanishes."""
    folder.mkdir()
    with System(folder, CLIENTS=3, RECORDS=5_000, RATE=500, GRACE_SECONDS=4) as system:
        collector = system.start("collector")
        collector.says('"ready"')
        system.server()
        clients = [system.client(f"client-{number}") for number in (1, 2, 3)]
        collector.says("running", 20)
        with looking(browser, f"http://127.0.0.1:{system.page_port}/") as page:
            page.wait_for_timeout(1000 * LOST_SECONDS)
            clients[-1].signal(signal.SIGKILL)
            ended(page)
            take(page, "page-fail")
            page.locator("#lanes").scroll_into_view_if_needed()
            page.wait_for_timeout(1_000)
            page.click("#gaps-frame summary")
            take_lanes(page, "page-gap")


@contextmanager
def looking(browser: Browser, address: str, *, dark: bool = False) -> Iterator[Page]:
    """Look at a page."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark" if dark else "light")
    page.goto(address)
    yield page
    page.close()


def ended(page: Page) -> None:
    """Wait for the verdict, and for the charts to be those of the end."""
    poll_until(
        lambda: page.text_content("#verdict") in ("PASS", "FAIL", "INVALID"), "there is a verdict", VERDICT_SECONDS
    )
    page.wait_for_timeout(3_000)


def control(page: Page) -> None:
    """Slow the run down for a second, so that there is something to see."""
    page.fill("#rate", "400")
    page.press("#rate", "Enter")
    page.wait_for_timeout(1_500)
    page.fill("#rate", "1500")
    page.press("#rate", "Enter")
    page.wait_for_timeout(1_500)


def records(page: Page) -> None:
    """Open a block."""
    page.locator("#lanes").scroll_into_view_if_needed()
    page.wait_for_timeout(1_000)
    page.fill("#chosen-block", "7")
    page.press("#chosen-block", "Enter")
    page.wait_for_selector("#messages tbody tr")


def take(page: Page, name: str) -> None:
    """Take what is in sight of a page."""
    page.screenshot(path=FOLDER / f"{name}.png")


def take_lanes(page: Page, name: str) -> None:
    """Take the lanes of the clients, with what is opened below them."""
    page.locator("section.whole:has(#lanes)").screenshot(path=FOLDER / f"{name}.png")


def take_terminal(browser: Browser, folder: Path, run: str) -> None:
    """Take the summary as a terminal shows it."""
    made = run_files.load_snapshot(folder, run)
    assert made is not None
    console = Console(record=True, width=styled_text.WIDTH, file=io.StringIO(), color_system="truecolor")
    shown = view(made, run_files.places(Path("volumes"), run))
    console.print(Text.from_ansi(summary_text.render(shown, colour=True).strip("\n")))
    page = browser.new_page(viewport={"width": 1100, "height": 800}, device_scale_factor=1.25)
    page.set_content(console.export_html(theme=SVG_EXPORT_THEME, code_format=TERMINAL, inline_styles=True))
    page.locator("pre").screenshot(path=FOLDER / "terminal.png")
    page.close()


if __name__ == "__main__":
    sys.exit(main())
