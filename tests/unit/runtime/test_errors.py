"""Tests of the errors that the operator can repair."""

from __future__ import annotations

from services.runtime.errors import AnotherServer, BadSettings, PortInUse, UnwritableFolder


def test_settings_are_reported_together() -> None:
    """Invalid settings are reported together, one line each."""
    problems = ["RATE='x': expected a number", "SEED='y': expected a whole number"]
    error = BadSettings(problems)

    assert tuple(problems) == error.problems
    assert problems == str(error).splitlines()


def test_an_indented_line_is_not_an_error_of_its_own() -> None:
    """An indented line continues the error above it and gets no prefix of its own."""
    error = BadSettings(["here\n    x+\n     ^", "there"])

    assert "error: here\n    x+\n     ^\nerror: there\n" == error.report()


def test_an_unwritable_folder_has_reason_and_fix() -> None:
    """The error about an unwritable folder is one line with the reason and the fix."""
    error = UnwritableFolder("/volumes/logs", "permission denied", "fix: chown it")
    expected = "cannot write to /volumes/logs: permission denied; fix: chown it"

    assert expected == str(error)
    assert error.folder in expected


def test_port_names_its_setting() -> None:
    """The error about a port in use names the setting that changes the port."""
    error = PortInUse("PAGE_PORT", 8766)
    expected = "port 8766 is in use by another process; stop that one or set PAGE_PORT to a free port"

    assert expected == str(error)
    assert str(error.port) in expected


def test_another_server_has_advice() -> None:
    """The error of a second server is one line with the run, the folder, the reason and two ways to resolve it."""
    error = AnotherServer("20261122T073000Z", "/volumes/ledger", "its settings are others")
    expected = (
        "error: another server is playing run 20261122T073000Z in /volumes/ledger: its settings are others;"
        " stop it, or give this one another VOLUMES\n"
    )

    assert expected == error.report()
    assert not error.is_repaired()
