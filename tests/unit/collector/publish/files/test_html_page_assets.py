"""Tests of the page's files, served one by one and embedded in a report."""

import gzip
import re

from services.collector.publish.files import html_page


def test_the_page_loads_its_scripts_in_their_order() -> None:
    """The page loads each script as a file, and names the address of Plotly's script, which is loaded later."""
    made = html_page.live_page().decode()

    assert [*html_page.SCRIPTS] == re.findall(r'<script src="/([^"]+)" defer></script>', made)
    assert f'<meta name="charts" content="{html_page.chart_script().path}">' in made


def test_the_charts_script_is_named_after_its_version() -> None:
    """Its address contains its version, so it may be cached for ever."""
    assert re.fullmatch(r"/plotly-\d+\.\d+\.\d+\.min\.js", html_page.chart_script().path)
    assert html_page.chart_script().script == gzip.decompress(html_page.compressed_chart_script())


def test_the_scripts_stay_small() -> None:
    """No script or style of the page has more than 250 lines."""
    for name in (*html_page.SCRIPTS, html_page.STYLE):
        assert 250 >= html_page.read_asset(name).count(b"\n"), name


def test_no_script_makes_markup() -> None:
    """No script creates markup from text or evaluates text."""
    for name in html_page.SCRIPTS:
        for way in (b"innerHTML", b"outerHTML", b"insertAdjacentHTML", b"document.write", b"eval(", b"Function("):
            assert way not in html_page.read_asset(name), name


def test_a_report_has_a_script_once() -> None:
    """Script tags within scripts and data are escaped."""
    made = html_page.report_page(b'{"a":"</script>"}').decode()

    assert made.count("<script") == made.count("</script>") == 3
    assert "\\u003c/script>" in made
