"""Tests of the check of an opening request's Host."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from services.server.connections.request_check import host_problem


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "localhost:8765", "server:8765", "127.0.0.1", "127.0.0.1:8765", "[::1]", "[::1]:8765", "10.1.2.3",
        "[2001:db8::1]:80", "SERVER", "streamgauge.default.svc", "streamgauge.default.svc.cluster.local:8765",
        "gauge.example.org", "host.docker.internal:8765",
    ],
)  # fmt: skip
def test_hosts_that_no_page_can_have_are_accepted(host: str) -> None:
    """An address, this machine's own name, and a name that the public DNS lacks may read plain responses."""
    assert host_problem([host], is_plain=True, own_name="gauge.example.org") is None


@pytest.mark.parametrize(
    "host", ["evil.test.example", "evil.example:8765", "localhost.", "127.0.0.1.nip.io", "", ":80"]
)
def test_other_hosts_may_not_read_plain_responses(host: str) -> None:
    """A name of the public DNS is answered 421 for a plain request, and may subscribe."""
    problem = host_problem([host], is_plain=True)

    assert problem is not None
    assert HTTPStatus.MISDIRECTED_REQUEST == problem.status
    assert host_problem([host], is_plain=False) is None


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["evil.example", "localhost"]])
@pytest.mark.parametrize("is_plain", [True, False])
def test_a_request_has_one_host(hosts: list[str], *, is_plain: bool) -> None:
    """A request without a Host, or with two, is answered 400."""
    problem = host_problem(hosts, is_plain=is_plain)

    assert problem is not None
    assert HTTPStatus.BAD_REQUEST == problem.status
