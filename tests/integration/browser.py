"""A real browser, and the page's server for it to look at, in this process."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from services.collector.publish.web import control
from services.collector.publish.web.events import SnapshotBoard
from services.collector.publish.web.self_metrics import CollectorEffort, SelfMeter
from services.collector.publish.web.server import PageServer as Server
from services.collector.verdict.snapshot import Snapshot
from services.contract import wire
from services.runtime.control.commands import ServerUnreachable
from tests.poll import poll_until

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
)  # fmt: skip
PLACES = "files: here"
WHY = "there is no server in this test"


def find_browser() -> str | None:
    """Return where a browser is installed, None when there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browsing() -> Iterator[Browser]:
    """Start a browser."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_browser(), args=list(ARGUMENTS))
        yield browser
        browser.close()


async def _nobody(_wish: wire.Control) -> wire.Controlled:
    raise ServerUnreachable(WHY)


class Served:
    """The page's web server in a thread of its own; a test publishes any snapshot on it."""

    def __init__(self, shown: Snapshot | None = None, port: int = 0) -> None:
        self._shown, self._port = shown, port
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self._loop, self._board = asyncio.get_running_loop(), SnapshotBoard()
        self._server = Server("127.0.0.1", self._port, self._board, Path("nowhere"), control.routes(_nobody))
        self.address = self._server.address
        self._put(self._shown)
        self._ready.set()
        await self._server.serve()
        await self._stopped

    def _put(self, shown: Snapshot | None) -> None:
        effort, now = CollectorEffort(12_345, 9_000_000, time.monotonic()), time.monotonic()
        self._board.set_effort(effort, SelfMeter().tiles(effort, 0, 71_000_000, now))
        self._board.show(shown, PLACES)

    def _stop(self) -> None:
        self._stopped = asyncio.ensure_future(self._server.stop())

    @property
    def port(self) -> int:
        """Its address."""
        return urlsplit(self.address).port or 0

    def show(self, shown: Snapshot) -> None:
        """Publish a snapshot."""
        self._loop.call_soon_threadsafe(self._put, shown)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the page's server does not start"
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the page's server does not stop"


class Watched:
    """A page in the browser, with the errors that occurred on it and its requests to other hosts."""

    def __init__(self, browser: Browser, *, scheme: str = "light", width: int = 1440, height: int = 900) -> None:
        self.page: Page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
        )
        self.errors: list[str] = []
        self.requested: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _asked(self, request: Request) -> None:
        self.requested.append(request.url)

    def hosts(self) -> set[str]:
        """Return the addresses that the page requested, without data that is part of the page itself."""
        parts = [urlsplit(url) for url in self.requested]
        return {part.netloc or part.scheme for part in parts if part.scheme not in ("data", "blob")}

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements of a kind."""
        return self.page.locator(selector).all_text_contents()

    def wait(self, expression: str, seconds: float = 20.0) -> None:
        """Wait until an expression of JavaScript is true."""
        # The browser's own way to wait needs `eval`, which the page forbids.
        poll_until(lambda: self.page.evaluate(expression), expression, seconds, 0.02)

    def close(self, name: str) -> None:
        """Close the page; if ``SCREENSHOTS`` names a folder, save a screenshot of the whole page there."""
        if self.page.is_closed():
            return
        if folder := os.environ.get("SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
        self.page.close()
