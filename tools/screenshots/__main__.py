"""Takes the screenshots for the documentation, of real runs on this machine: ``make screenshots``."""

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
from services.collector.publish.terminal import summary_text, text_layout
from services.collector.publish.view_model import view
from tests.integration.browser import browsing, find_browser
from tests.integration.processes import LocalRun, System
from tests.poll import poll_until

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
WIDTH, HEIGHT = 1360, 1160
VERDICT_SECONDS = 60.0
KILL_AFTER_SECONDS = 4.0
MAX_BYTES = 300_000
TERMINAL = """\
<style>body {{ margin: 0 }} pre {{ display: inline-block; margin: 0; padding: 16px 24px; background: #14181f;
color: #d6dde6; font: 14px/1.35 "DejaVu Sans Mono", ui-monospace, monospace }}</style><pre>{code}</pre>
"""


def main() -> int:
    """Take all screenshots, and print their sizes; return the number of those that are too large."""
    if find_browser() is None:
        print("no browser is installed: chromium", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    with browsing() as browser, tempfile.TemporaryDirectory() as folder:
        take_passing_run(browser, Path(folder) / "good")
        take_failing_run(browser, Path(folder) / "failed")
    sizes = {path.name: path.stat().st_size for path in sorted(FOLDER.glob("*.png"))}
    for name, size in sizes.items():
        print(f"{name:<24}{size / 1000:>8,.0f} kB")
    return sum(size > MAX_BYTES for size in sizes.values())


def take_passing_run(browser: Browser, folder: Path) -> None:
    """Take a run that passes: while it runs, afterwards in light and dark mode, and its summary on the terminal."""
    with LocalRun(folder, CLIENTS=5, RECORDS=5_000, RATE=200, KEEP=1) as run:
        address = f"http://127.0.0.1:{run.page_port}/"
        run.wait_for_line("running", 20)
        with open_page(browser, address) as page:
            page.wait_for_timeout(8_000)
            change_rate(page)
            take_page(page, "page-running")
            wait_for_verdict(page)
            take_page(page, "page-pass")
        with open_page(browser, address, dark=True) as page:
            wait_for_verdict(page)
            take_page(page, "page-pass-dark")
            open_block(page)
            take_client_rows(page, "page-block")
        take_terminal(browser, folder, run.volumes.newest())


def take_failing_run(browser: Browser, folder: Path) -> None:
    """Take a run in which one of three clients is killed."""
    folder.mkdir()
    with System(folder, CLIENTS=3, RECORDS=5_000, RATE=500, GRACE_SECONDS=4) as system:
        collector = system.start("collector")
        collector.wait_for_line('"ready"')
        system.server()
        clients = [system.client(f"client-{number}") for number in (1, 2, 3)]
        collector.wait_for_line("running", 20)
        with open_page(browser, f"http://127.0.0.1:{system.page_port}/") as page:
            page.wait_for_timeout(1000 * KILL_AFTER_SECONDS)
            clients[-1].signal(signal.SIGKILL)
            wait_for_verdict(page)
            take_page(page, "page-fail")
            page.locator("#lanes").scroll_into_view_if_needed()
            page.wait_for_timeout(1_000)
            page.click("#gaps-frame summary")
            take_client_rows(page, "page-gap")


@contextmanager
def open_page(browser: Browser, address: str, *, dark: bool = False) -> Iterator[Page]:
    """Open a page in the browser, inside a ``with`` block."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark" if dark else "light")
    page.goto(address)
    yield page
    page.close()


def wait_for_verdict(page: Page) -> None:
    """Wait for the verdict, and for the final charts."""
    poll_until(
        lambda: page.text_content("#verdict") in ("PASS", "FAIL", "INVALID"), "there is a verdict", VERDICT_SECONDS
    )
    page.wait_for_timeout(3_000)


def change_rate(page: Page) -> None:
    """Slow the run down for a second, so that the charts show a change."""
    page.fill("#rate", "80")
    page.press("#rate", "Enter")
    page.wait_for_timeout(1_500)
    page.fill("#rate", "300")
    page.press("#rate", "Enter")
    page.wait_for_timeout(1_500)


def open_block(page: Page) -> None:
    """Open the messages of a block."""
    page.locator("#lanes").scroll_into_view_if_needed()
    page.wait_for_timeout(1_000)
    page.fill("#chosen-block", "7")
    page.press("#chosen-block", "Enter")
    page.wait_for_selector("#messages tbody tr")


def take_page(page: Page, name: str) -> None:
    """Take the visible part of a page."""
    page.screenshot(path=FOLDER / f"{name}.png")


def take_client_rows(page: Page, name: str) -> None:
    """Take the client rows, with the table that is open below them."""
    page.locator("section.whole:has(#lanes)").screenshot(path=FOLDER / f"{name}.png")


def take_terminal(browser: Browser, folder: Path, run: str) -> None:
    """Take the summary as shown on a terminal."""
    snapshot = run_files.load_snapshot(folder, run)
    assert snapshot is not None
    console = Console(record=True, width=text_layout.WIDTH, file=io.StringIO(), color_system="truecolor")
    view_model = view(snapshot, run_files.places(Path("volumes"), run))
    console.print(Text.from_ansi(summary_text.render(view_model, colour=True).strip("\n")))
    page = browser.new_page(viewport={"width": 1100, "height": 800}, device_scale_factor=1.25)
    page.set_content(console.export_html(theme=SVG_EXPORT_THEME, code_format=TERMINAL, inline_styles=True))
    page.locator("pre").screenshot(path=FOLDER / "terminal.png")
    page.close()


if __name__ == "__main__":
    sys.exit(main())
