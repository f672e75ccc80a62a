"""Tests of services/collector/publish/files/page_assets.py."""

import gzip
import re

from services.collector.publish.files import page_assets


def test_the_page_loads_its_scripts_in_their_order() -> None:
    """All are files of their own; where the charts' script is, which comes later, is said."""
    made = page_assets.page().decode()

    assert [*page_assets.SCRIPTS] == re.findall(r'<script src="/([^"]+)" defer></script>', made)
    assert f'<meta name="charts" content="{page_assets.charts().path}">' in made


def test_the_charts_script_is_named_after_its_version() -> None:
    """Whoever keeps it for ever gets another one with another version."""
    assert re.fullmatch(r"/plotly-\d+\.\d+\.\d+\.min\.js", page_assets.charts().path)
    assert page_assets.charts().script == gzip.decompress(page_assets.packed_charts())


def test_the_scripts_stay_small() -> None:
    """No script or style of ours is longer than a module may be."""
    for name in (*page_assets.SCRIPTS, page_assets.STYLE):
        assert 250 >= page_assets.file(name).count(b"\n"), name


def test_no_script_makes_markup() -> None:
    """Whatever is shown is text; nothing is evaluated."""
    for name in page_assets.SCRIPTS:
        for way in (b"innerHTML", b"outerHTML", b"insertAdjacentHTML", b"document.write", b"eval(", b"Function("):
            assert way not in page_assets.file(name), name


def test_a_report_has_a_script_once() -> None:
    """What ends a script's element is escaped wherever a script says it."""
    made = page_assets.report(b'{"a":"</script>"}').decode()

    assert made.count("<script") == made.count("</script>") == 3
    assert "\\u003c/script>" in made
