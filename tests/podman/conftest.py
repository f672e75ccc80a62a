"""Fixtures of the tests under Podman, and the rule for machines without it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.podman.account import Account
from tests.podman.providers import Provider, compose_at_api, podman_compose


def _missing(what: str) -> None:
    """Skip the tests on a laptop, and fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"CI has {what}", pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="session")
def account() -> Iterator[Account]:
    """The user that runs Podman, with a checkout."""
    if shutil.which("podman") is None:
        _missing("no Podman: install it, or, on Debian as root, `export $(.ci/podman)`")
    made = Account(os.environ.get("PODMAN_USER"))
    try:
        made.check_out()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="session", params=["podman-compose", "podman compose"])
def provider(request: pytest.FixtureRequest, account: Account) -> Iterator[Provider]:
    """Each of the two programs that read the compose file for Podman."""
    library = Path(os.environ.get("PODMAN_COMPOSE", ""))
    if request.param == "podman-compose":
        if not (library / "podman_compose.py").is_file():
            _missing("no podman-compose: `make podman` installs it")
        yield podman_compose(account, library)
    else:
        if shutil.which("docker") is None:
            _missing("no Compose of Docker, which `podman compose` starts")
        with compose_at_api(account) as found:
            yield found
