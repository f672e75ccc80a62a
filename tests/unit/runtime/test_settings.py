"""Tests of the table of settings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.errors import BadSettings
from services.runtime.rate_plan import steady
from services.runtime.settings import ACCESS, BY_NAME, EXTERNAL, SETTINGS, is_external_feed, read

NAMES = [setting.name for setting in SETTINGS]
SERVICES = {"server", "client", "collector", "all"}


def problems(environment: dict[str, str], names: list[str] = NAMES) -> tuple[str, ...]:
    """Return the problems of an environment."""
    try:
        read(environment, names)
    except BadSettings as fault:
        return fault.problems
    return ()


@pytest.mark.parametrize("name", NAMES)
def test_default_can_be_read(name: str) -> None:
    """Every default is a value that the setting accepts, so that nothing has to be set."""
    assert {name.lower()} == read({}, [name]).keys()


def test_defaults() -> None:
    """Without an environment the values are the documented defaults."""
    values = read({}, NAMES)
    expected = {
        "rate": steady(200),
        "records": 6000,
        "clients": 0,
        "block_sizes": (10, 25, 50, 100, 250),
        "block_seconds": 5,
        "fsync": "block",
        "client_id": "",
        "volumes": "/volumes",
    }

    assert expected == {name: values[name] for name in expected}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_table_is_complete(setting: Any) -> None:
    """Every setting has a name in capitals, a service or several, and one line of meaning."""
    assert setting.name == setting.name.upper()
    assert {*setting.services.split(", ")} <= SERVICES
    assert setting.meaning
    assert "\n" not in setting.meaning


def test_names_are_unique() -> None:
    """No setting is in the table twice."""
    assert len(BY_NAME) == len(SETTINGS) + len(ACCESS) + len(EXTERNAL)


def test_reads_only_what_is_asked_for() -> None:
    """A service reads its own settings, and ignores mistakes in others."""
    expected = {"rate": steady(5)}

    assert expected == read({"RATE": "5", "BLOCK_SIZES": "x"}, ["RATE"])


@pytest.mark.parametrize("empty", ["", "  "])
def test_empty_is_not_set(empty: str) -> None:
    """An empty variable has its default, since compose passes unset ones on as empty."""
    expected = {"seed": 42, "control_token": ""}

    assert expected == read({"SEED": empty, "CONTROL_TOKEN": empty}, ["SEED", "CONTROL_TOKEN"])


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("RATE", "0", steady(0)),
        ("RATE", "0.5", steady(0.5)),
        ("RATE", "1000000", steady(1_000_000)),
        ("RATE", "1e3", steady(1000)),
        ("RATE", " 7 ", steady(7)),
        ("RECORDS", "1000000000000", 10**12),
        ("SEED", "9007199254740991", 2**53 - 1),
        ("BLOCK_SIZES", "7", (7,)),
        ("BLOCK_SIZES", "10, 25 ,50", (10, 25, 50)),
        ("CLIENT_ID", "client-2.1", "client-2.1"),
        ("SERVER_URL", "wss://feed.example:443/path", "wss://feed.example:443/path"),
        ("SERVER_URL", "ws://[::1]:8765", "ws://[::1]:8765"),
        ("PAGE_PORT", "0", 0),
        ("CLIENTS", "", 0),
        ("CLIENTS", "1", 1),
        ("CLIENT_SERVICE", "tasks.client", "tasks.client"),
        ("HOST", "*", ("*",)),
        ("HOST", "127.0.0.1", ("127.0.0.1",)),
        ("HOST", "10.0.0.1, ::1,[fe80::1],10.0.0.1", ("10.0.0.1", "::1", "fe80::1")),
        ("THRESHOLDS", "latency.p99<50ms, missing==0", "latency.p99<50ms, missing==0"),
    ],
)
def test_reads(name: str, text: str, value: Any) -> None:
    """A value within its bounds is converted to its type."""
    assert {name.lower(): value} == read({name: text}, [name])


def test_a_whole_rate_is_an_integer() -> None:
    """A whole rate is an integer, so that due times are exact."""
    assert isinstance(read({"RATE": "200.0"}, ["RATE"])["rate"].rate, int)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("RATE", "fast"),
        ("RATE", "-1"),
        ("RATE", "1000001"),
        ("RATE", "nan"),
        ("RATE", "inf"),
        ("RATE", "200/s"),
        ("RECORDS", "0"),
        ("RECORDS", "1.5"),
        ("RECORDS", "1e3"),
        ("RECORDS", "1_000"),
        ("RECORDS", "-5"),
        ("RECORDS", "+5"),
        ("RECORDS", "0x10"),
        ("RECORDS", "٣"),  # a digit, but not one that other readers know
        ("RECORDS", "9" * 17),
        ("SEED", "9007199254740992"),
        ("CLIENTS", "0"),
        ("CONNECTIONS", "0"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PAGE_PORT", "-1"),
        ("HOST", "localhost"),
        ("HOST", "*,127.0.0.1"),
        ("HOST", "127.0.0.1,"),
        ("HOST", "127.0.0.1:8765"),
        ("HOST", "300.0.0.1"),
        ("CLIENT_SERVICE", "a b"),
        ("CLIENT_SERVICE", "a..b"),
        ("CLIENT_SERVICE", "x" * 64),
        ("FSYNC", "always"),
        ("FSYNC", "BLOCK"),
        ("BLOCK_SIZES", "10,,25"),
        ("BLOCK_SIZES", "10;25"),
        ("BLOCK_SIZES", "10,0"),
        ("BLOCK_SIZES", "10,-25"),
        ("BLOCK_SIZES", ","),
        ("BLOCK_SIZES", "100001"),
        ("BLOCK_SECONDS", "0"),
        ("BLOCK_SECONDS", "3601"),
        ("BLOCK_BYTES", "1MiB"),
        ("BLOCK_BYTES", "1023"),
        ("CONTROL_TOKEN", "two words"),
        ("CONTROL_TOKEN", "x" * 513),
        ("RATE", "5e-324"),
        ("CONTROL_TOKEN", "geheimnüsse"),
        ("CLIENT_ID", "Client 1"),
        ("CLIENT_ID", "../client"),
        ("CLIENT_ID", "x" * 64),
        ("SERVER_URL", "http://server:8765"),
        ("SERVER_URL", "server:8765"),
        ("SERVER_URL", "ws://"),
        ("SERVER_URL", "ws://server:port"),
        ("SERVER_URL", "ws://server:99999"),
        ("SERVER_URL", "ws://server:0"),
        ("SERVER_URL", "ws://[::1"),
    ],
)
def test_refuses(name: str, text: str) -> None:
    """The error about a malformed value is one line with the value, unless it is secret, and the expected form."""
    (problem,) = problems({name: text}, [name])

    given = name if name == "CONTROL_TOKEN" else f"{name}={text!r}"
    assert problem.startswith((f"{given}: expected a ", f"{given}: expected one of "))
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("RATE", 0, 1_000_000),
        ("RECORDS", 1, 1_000_000_000_000),
        ("RUNS", 0, 1_000_000),
        ("KEEP_RUNS", 0, 1_000_000),
        ("SEED", 0, 9_007_199_254_740_991),
        ("CLIENTS", 1, 100_000),
        ("GRACE_SECONDS", 0, 3600),
        ("RESUME_SECONDS", 0, 1_000_000),
        ("SEND_SECONDS", 1, 3600),
        ("PORT", 1, 65_535),
        ("BLOCK_SIZES", 1, 100_000),
        ("BLOCK_SECONDS", 1, 3600),
        ("BLOCK_BYTES", 1024, 1_073_741_824),
        ("CONNECTIONS", 1, 10_000),
        ("PAGE_PORT", 0, 65_535),
        ("HOLD_SECONDS", 0, 60),
    ],
)
def test_bounds(name: str, least: int, most: int) -> None:
    """A number is accepted up to its bounds and refused just beyond them."""
    assert not problems({name: str(least)}, [name])
    assert not problems({name: str(most)}, [name])
    assert problems({name: str(least - 1)}, [name])
    assert problems({name: str(most + 1)}, [name])


@pytest.mark.parametrize("name", ["FEED_MATCH", "FEED_SEQ", "FEED_END", "SERVER_URL", "SCHEMA", "THRESHOLDS"])
def test_a_text_has_to_be_utf8(name: str) -> None:
    """A text that can neither be sent nor logged is refused; a path may consist of any bytes."""
    text = "ws://\udcff" if name == "SERVER_URL" else "\udcff"

    assert (f"{name}={text!r}: expected a text in UTF-8",) == problems({name: text}, [name])
    for path in ("VOLUMES", "HEARTBEAT", "FEED_CA_FILE", "FEED_AUTHORIZATION_FILE"):
        assert {path.lower(): "/\udcff"} == read({path: "/\udcff"}, [path])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SERVER_URL", "https://user:opensesame@feed"),
        ("SERVER_URL", "wss:feed/?token=opensesame"),
        ("SERVER_URL", "http://feed/#opensesame"),
        ("CONTROL_TOKEN", "open opensesame"),
        ("FEED_VARIABLES", "token=opensesame x"),
        *(
            (name, "opensesame \udcff")
            for name in ("FEED_HELLO", "FEED_RESUME", "FEED_HEARTBEAT", "FEED_PONG", "FEED_SUBPROTOCOL")
        ),
        ("FEED_PROXY", "http://user:opensesame@proxy\udcff"),
    ],
)
def test_an_error_shows_no_secret(name: str, text: str) -> None:
    """A text that may contain a password or a token is refused without being shown."""
    (problem,) = problems({name: text}, [name])

    assert problem.startswith(f"{name}: expected ")
    assert "opensesame" not in problem


def test_an_address_without_secrets_is_shown() -> None:
    """An address that has neither user nor query is shown where it is refused."""
    assert problems({"SERVER_URL": "http://feed"}, ["SERVER_URL"])[0].startswith("SERVER_URL='http://feed': expected")


def test_all_problems_are_reported_together() -> None:
    """All mistakes are reported together."""
    found = problems({"RATE": "fast", "SEED": "x", "FSYNC": "maybe", "BLOCK_SIZE": "10", "RECORDS": "5"})

    named = sorted(problem.replace("=", ":").partition(":")[0] for problem in found)

    assert named == ["BLOCK_SIZE", "FSYNC", "RATE", "SEED"]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("BLOCK_SIZE", "BLOCK_SIZES"),
        ("BLOCKS_SIZES", "BLOCK_SIZES"),
        ("BLOK_SIZES", "BLOCK_SIZES"),
        ("BLOCK_SECOND", "BLOCK_SECONDS"),
        ("RECORD", "RECORDS"),
        ("RATES", "RATE"),
        ("CLIENT", "CLIENTS"),
        ("CONNECTION", "CONNECTIONS"),
        ("TRESHOLDS", "THRESHOLDS"),
        ("SERVER_URI", "SERVER_URL"),
        ("VOLUME", "VOLUMES"),
        ("GRACE_SECOND", "GRACE_SECONDS"),
        ("CONTROLTOKEN", "CONTROL_TOKEN"),
    ],
)
def test_names_a_misspelt_setting(wrong: str, right: str) -> None:
    """A name that is similar to a setting's is reported with the right one."""
    assert (f"{wrong}: no such setting; did you mean {right}?",) == problems({wrong: "1"})


@pytest.mark.parametrize(
    "name",
    [
        *["PATH", "HOME", "HOSTNAME", "LANG", "LC_ALL", "TZ", "TERM", "DATE", "PWD", "SHLVL", "PYTHONPATH"],
        *["KUBERNETES_PORT", "SERVER_PORT", "SERVER_SERVICE_HOST", "COMPOSE_PROJECT_NAME", "DOCKER_HOST"],
        *["RAT", "RATS", "PYTHON_VERSION", "VIRTUAL_ENV", "CI", "MAKEFLAGS", "PYTHON_IMAGE", "REVISION"],
    ],
)
def test_leaves_other_names_alone(name: str) -> None:
    """A variable of the system, of Docker or of Kubernetes is not reported as misspelt."""
    assert not problems({name: "1"})


@given(st.sampled_from(NAMES), st.text())
def test_any_text_is_read_or_refused(name: str, text: str) -> None:
    """Every text of a variable is converted to a value or raises an error."""
    found = problems({name: text}, [name])

    assert all(problem.startswith((f"{name}=", f"{name}: ")) and problem.isprintable() for problem in found)


@pytest.mark.parametrize(
    ("environment", "foreign"),
    [({}, False), ({"FEED_SEQ": " "}, False), ({"FEED_SEQ": "$.seq"}, True), ({"FEED": "foreign"}, True),
     ({"FEED": "streamgauge", "FEED_SEQ": "$.seq"}, False)],
)  # fmt: skip
def test_any_setting_of_an_external_feed_makes_it_external(environment: dict[str, str], foreign: bool) -> None:
    """A feed is external if any setting of external feeds is set, unless FEED is ``streamgauge``."""
    assert foreign == is_external_feed(environment)
