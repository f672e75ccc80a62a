"""Tests of the faults that the operator can mend."""

from __future__ import annotations

from services.runtime.errors import AnotherServer, BadSettings, OperatorError, PortInUse, UnwritableFolder


def test_settings_report_one_line_each() -> None:
    """Settings that cannot be used are reported together, one line each."""
    problems = ["RATE='x': expected a number", "SEED='y': expected a whole number"]
    fault = BadSettings(problems)

    assert tuple(problems) == fault.problems
    assert problems == str(fault).splitlines()


def test_what_is_indented_belongs_to_the_line_above() -> None:
    """A fault may show where it lies: that is no further fault."""
    fault = BadSettings(["here\n    x+\n     ^", "there"])

    assert "error: here\n    x+\n     ^\nerror: there\n" == fault.report()


def test_folder_says_what_why_and_how() -> None:
    """A folder that refuses is named with the reason and the cure, on one line."""
    fault = UnwritableFolder("/volumes/logs", "permission denied", "fix: chown it")
    expected = "cannot write to /volumes/logs: permission denied; fix: chown it"

    assert expected == str(fault)
    assert fault.folder in expected


def test_port_names_its_setting() -> None:
    """A port in use is named with the setting that changes it."""
    fault = PortInUse("PAGE_PORT", 8766)
    expected = "port 8766 is in use by another process; stop that one or set PAGE_PORT to a free port"

    assert expected == str(fault)
    assert str(fault.port) in expected


def test_another_server_says_what_to_do() -> None:
    """A server that would be the second one names the run, the folder and both ways out, on one line."""
    fault = AnotherServer("20261122T073000Z", "/volumes/ledger")
    expected = (
        "error: another server is playing run 20261122T073000Z in /volumes/ledger: several servers are not supported"
        " yet; stop it, or give this one another VOLUMES\n"
    )

    assert expected == fault.report()
    assert not fault.mended()


def test_all_are_the_operators() -> None:
    """Whoever catches the base catches all that the operator can mend."""
    for leaf in (BadSettings, UnwritableFolder, PortInUse, AnotherServer):
        assert issubclass(leaf, OperatorError)
