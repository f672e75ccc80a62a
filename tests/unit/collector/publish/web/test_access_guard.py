"""Tests of services/collector/publish/web/access_guard.py, with the whole page behind it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from services.collector.publish.web.events import SnapshotBoard
from services.collector.publish.web.server import make_app
from services.runtime.access.access_control import AccessControl
from services.runtime.access.listen_rules import ListenRules
from tests.builders.snapshots import example
from tests.unit.collector.publish import asgi_client
from tests.unit.collector.publish.asgi_client import Answered

TOKENS = {role: f"token-of-the-role-{role}" for role in ("feed", "observe", "control", "metrics")}
PATHS = ("/", "/summary.json", "/page.css", "/metrics", "/nowhere")


async def ask(app: ASGIApp, path: str, headers: dict[str, str] | None = None) -> Answered:
    """Return the answer to a request with these headers."""
    return await asgi_client.ask(app, path, **{name.replace("-", "_"): text for name, text in (headers or {}).items()})


@pytest.fixture
def app(tmp_path: Path) -> ASGIApp:
    """Return a page that needs tokens."""
    path = tmp_path / "tokens"
    path.write_text("".join(f"{role} * {token}\n" for role, token in TOKENS.items()))
    board = SnapshotBoard()
    board.show(example())
    access = AccessControl(ListenRules("internal", str(path), is_reachable=True))
    return make_app(board, Path("nowhere"), "0.0.0.0", access=access, names=frozenset({"stream.example.org"}))


def bearer(role: str) -> dict[str, str]:
    """Return the header of a program with the token of a role."""
    return {"authorization": f"Bearer {TOKENS[role]}"}


@pytest.mark.parametrize("path", PATHS)
async def test_without_a_token_nothing_is_shown(app: ASGIApp, path: str) -> None:
    """Every path asks for a login, also one that does not exist, and the answer has the security headers."""
    status, headers, body = await ask(app, path)

    assert 401 == status
    assert headers["www-authenticate"].startswith('Basic realm="Streamgauge"')
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert b"Streamgauge" not in body


@pytest.mark.parametrize(
    ("role", "statuses"),
    [
        ("feed", [403, 403, 403, 403, 403]),
        ("observe", [200, 200, 200, 403, 404]),
        ("control", [200, 200, 200, 200, 404]),
        ("metrics", [403, 403, 403, 200, 403]),
    ],
)
async def test_each_role_opens_its_own(app: ASGIApp, role: str, statuses: list[int]) -> None:
    """A token opens what its role permits."""
    assert statuses == [(await ask(app, path, bearer(role))).status for path in PATHS]


async def test_a_login_is_a_token_as_password(app: ASGIApp) -> None:
    """The login of a browser opens the page with the right password and any user."""
    for password, status in ((TOKENS["observe"], 200), ("another-password-of-16", 401)):
        login = base64.b64encode(f"me:{password}".encode()).decode()

        assert status == (await ask(app, "/", {"authorization": f"Basic {login}"})).status


async def test_health_needs_no_token(app: ASGIApp) -> None:
    """A probe asks without a token."""
    assert 200 == (await ask(app, "/healthz")).status


async def test_further_names_are_answered(app: ASGIApp) -> None:
    """The page answers under the names in PAGE_NAMES, and under no other."""
    for name, status in (("stream.example.org", 200), ("STREAM.example.org:443", 200), ("evil.test", 421)):
        assert status == (await ask(app, "/", {**bearer("observe"), "host": name})).status


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/report.html", {"sec-fetch-site": "cross-site"}, 403),
        ("/", {"sec-fetch-site": "cross-site"}, 403),
        ("/", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, 403),
        ("/", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, 200),
        (
            "/report.html",
            {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
            403,
        ),
        ("/report.html", {"sec-fetch-site": "same-origin"}, 200),
        ("/report.html", {"sec-fetch-site": "none"}, 200),
        ("/report.html", {}, 200),
    ],
)
async def test_other_sites_are_refused(path: str, headers: dict[str, str], status: int) -> None:
    """Requests of other sites get 403, except a link to the page itself that a user follows."""
    board = SnapshotBoard()
    board.show(example())

    assert status == (await ask(make_app(board, Path("nowhere")), path, headers)).status


async def test_a_proxy_needs_tokens(app: ASGIApp) -> None:
    """An open page refuses what a proxy forwards; one with tokens asks for them."""
    forwarded = {"x-forwarded-for": "192.0.2.7"}

    assert 403 == (await ask(make_app(SnapshotBoard(), Path("nowhere")), "/", forwarded)).status
    assert 200 == (await ask(app, "/", {**bearer("observe"), **forwarded})).status
