"""Tests of the command `publish`."""

from __future__ import annotations

import pytest

from services.runtime import cli
from services.server.feed.generator import FeedGenerator
from services.server.jetstream import publish
from tests.unit.server.jetstream.fakes import FakeClient, FakeStream


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> FakeStream:
    """The stream to which the command publishes."""
    made = FakeStream()
    monkeypatch.setattr(publish, "JetStreamClient", lambda address, _: FakeClient(made, address))
    monkeypatch.setattr(publish, "_RETRY_SECONDS", 0.0)
    return made


def run(*arguments: str, **environment: str) -> int:
    """Run the command; return its exit code."""
    parser, commands = cli.parser("python -m services.server", "Serves.", "exit codes: 0", "1.0", publish.run)
    publish.add(commands)
    return cli.run_command(parser.parse_args(["publish", *arguments]), environment)


def test_the_records_are_those_of_the_feed(stream: FakeStream, capsys: pytest.CaptureFixture[str]) -> None:
    """The messages are the records of SCHEMA and SEED in their order, also after answers that were lost."""
    stream.lost_answers = 2

    assert 0 == run("nats://127.0.0.1:4222/people", RECORDS="300", RATE="0", SEED="5")
    # The fake stores a repeat that JetStream drops by its identity.
    first = {message.headers["Nats-Msg-Id"]: message.data for message in stream.messages}
    assert FeedGenerator("person", "en_US", 5).records(1, 300) == list(first.values())
    assert {"people.record"} == {message.subject for message in stream.messages}
    assert "300 records are in nats://127.0.0.1:4222/people, the last one is message 302" in capsys.readouterr().out


def test_a_stream_that_refuses_is_named(stream: FakeStream, capsys: pytest.CaptureFixture[str]) -> None:
    """If no node confirms a record the command ends with 104 and the reason."""
    stream.is_down = True

    assert 104 == run("nats://127.0.0.1:4222/people", RECORDS="1")
    assert "no node answers" in capsys.readouterr().err


def test_a_plan_of_rates_is_refused(stream: FakeStream, capsys: pytest.CaptureFixture[str]) -> None:
    """A rate plan is a mistake, since only its first stage could be published."""
    assert 104 == run("nats://127.0.0.1:4222/people", RATE="200:1s,100")
    assert "expected one rate" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["one:4222", "nats://one:4222", "http://one/x", ""])
def test_an_address_needs_a_stream(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An address without a stream, or of another kind, is a mistake of one line."""
    assert 104 == run(address)
    assert capsys.readouterr().err.startswith("error: ADDRESS: expected an address like nats://one:4222")
