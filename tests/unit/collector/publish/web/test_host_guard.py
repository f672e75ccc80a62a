"""Tests of services/collector/publish/web/host_guard.py."""

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from services.collector.publish.web.host_guard import HEADERS, HOSTS, HostGuard
from tests.unit.collector.publish.asgi_client import ask


async def app_with_own_header(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with its own cache-control header."""
    answer: Response = PlainTextResponse(Request(scope).url.path, headers={"cache-control": "for ever"})
    await answer(scope, receive, send)


GUARDED = HostGuard(app_with_own_header, HOSTS)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8766", "[::1]:8766", "[::1]", "COLLECTOR:80"])
async def test_known_names_are_answered(host: str) -> None:
    """Host names of this machine and of the compose network are allowed, on any port."""
    assert 200 == (await ask(GUARDED, "/", host)).status


@pytest.mark.parametrize("host", ["", "evil.example", "evil.example:8766", "localhost.evil.example", "127.0.0.1.x"])
async def test_other_names_are_refused(host: str) -> None:
    """Any other Host header is refused (DNS rebinding protection)."""
    assert 421 == (await ask(GUARDED, "/", host)).status


@pytest.mark.parametrize(("host", "port"), [("lab.example:9000", "9000"), ("lab.example", "8766"), ("", "8766")])
async def test_a_refusal_names_the_way_in(host: str, port: str) -> None:
    """A user who opens the page from another machine learns how to forward its port."""
    answer = await ask(GUARDED, "/", host)

    assert f"ssh -L {port}:127.0.0.1:{port} HOST".encode() in answer.body


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
async def test_every_response_has_security_headers(host: str) -> None:
    """Every response has the security headers, refusals included."""
    headers = (await ask(GUARDED, "/", host)).headers

    assert HEADERS.items() - {("cache-control", "no-store")} <= headers.items()


async def test_a_header_of_the_response_is_kept() -> None:
    """A header that the application sets is not replaced."""
    assert "for ever" == (await ask(GUARDED, "/", "localhost")).headers["cache-control"]


def test_scripts_are_allowed_from_this_server_only() -> None:
    """The policy forbids inline scripts and scripts from other hosts."""
    policy = HEADERS["content-security-policy"]

    assert "default-src 'none'; script-src 'self'; " in policy
    assert "unsafe-eval" not in policy
    assert 1 == policy.count("unsafe-inline")
