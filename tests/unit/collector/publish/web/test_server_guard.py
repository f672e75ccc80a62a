"""Tests of services/collector/publish/web/server.py."""

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from services.collector.publish.web.server import HEADERS, HOSTS, HostGuard
from tests.unit.collector.publish.http_get import ask


async def kept(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a header of its own."""
    answer: Response = PlainTextResponse(Request(scope).url.path, headers={"cache-control": "for ever"})
    await answer(scope, receive, send)


GUARDED = HostGuard(kept, HOSTS)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8766", "[::1]:8766", "[::1]", "COLLECTOR:80"])
async def test_known_names_are_answered(host: str) -> None:
    """The machine itself and the compose network may ask, on any port."""
    assert 200 == (await ask(GUARDED, "/", host)).status


@pytest.mark.parametrize("host", ["", "evil.example", "evil.example:8766", "localhost.evil.example", "127.0.0.1.x"])
async def test_other_names_are_refused(host: str) -> None:
    """A foreign name that leads here is another site's trick."""
    assert 421 == (await ask(GUARDED, "/", host)).status


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
async def test_every_answer_is_guarded(host: str) -> None:
    """The security headers are on everything, on a refusal too."""
    headers = (await ask(GUARDED, "/", host)).headers

    assert HEADERS.items() - {("cache-control", "no-store")} <= headers.items()


async def test_a_header_that_is_set_stays() -> None:
    """What an answer says of itself is not overruled."""
    assert "for ever" == (await ask(GUARDED, "/", "localhost")).headers["cache-control"]


def test_scripts_come_from_here_alone() -> None:
    """No script stands in the page, and none comes from another host."""
    policy = HEADERS["content-security-policy"]

    assert "default-src 'none'; script-src 'self'; " in policy
    assert "unsafe-eval" not in policy
    assert 1 == policy.count("unsafe-inline")
