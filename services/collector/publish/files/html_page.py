"""The page: its files as they are served one by one, and all of them as one file, the report of a run.

A report opens anywhere, without a server and without a network. The script that draws charts comes with the installed
package, so the page needs no other host.
"""

from __future__ import annotations

import functools
import gzip
import re
from importlib import resources
from typing import NamedTuple

import msgspec

from services.collector.publish.files.chart_data import chart_data
from services.collector.publish.view_model import view
from services.collector.verdict.snapshot import Snapshot

SCRIPTS = (
    "dom.js", "theme.js", "tables.js", "marks.js", "charts.js", "slots.js", "durations.js", "lanes.js",
    "control.js", "block.js", "live.js", "page.js",
)  # fmt: skip
"""In the order in which they depend on each other."""
LIVE_SCRIPTS = ("control.js", "block.js", "live.js")
"""Scripts that need a server: a report does not contain them."""
STYLE = "page.css"
MAX_BARS = 20_000
"""Of a report: a file is not sent every second, so it may show more blocks than the live page."""

_LIVE = re.compile(r"<!-- live -->.*?<!-- /live -->\s*", re.DOTALL)
_VERSION = re.compile(rb"plotly\.js v([0-9.]+)")
_SCRIPT_TAG = re.compile(r"<(?=!--|/?script)", re.IGNORECASE)


class ChartScript(NamedTuple):
    """The script that draws charts: the path at which it is served, which contains its version, and its bytes."""

    path: str
    script: bytes


@functools.cache
def chart_script() -> ChartScript:
    """Return the script that draws charts, read once."""
    script = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    version = _VERSION.search(script[:1000])
    return ChartScript(f"/plotly-{version[1].decode() if version else 'installed'}.min.js", script)


@functools.cache
def compressed_chart_script() -> bytes:
    """Return the script that draws charts, compressed by gzip to a third of its size."""
    # Without a time the bytes are the same in every process.
    return gzip.compress(chart_script().script, 6, mtime=0)


def read_asset(name: str) -> bytes:
    """Return one of the page's own files."""
    return resources.files("services.collector.publish.web").joinpath("static", name).read_bytes()


def live_page() -> bytes:
    """Return the live page, which loads its scripts and its style from the server that it came from."""
    # The script that draws charts has 5 MB: the page's own scripts load it when the texts are shown.
    style = f'<link rel="stylesheet" href="/{STYLE}">\n<meta name="charts" content="{chart_script().path}">'
    return _filled(style, "\n".join(f'<script src="/{name}" defer></script>' for name in SCRIPTS)).encode()


def report_page(data: bytes) -> bytes:
    """Return the page as one file with its data, a JSON document, and without the parts that need a server."""
    own_scripts = "\n".join(_embeddable(name) for name in SCRIPTS if name not in LIVE_SCRIPTS)
    # In JSON a `<` only occurs inside strings, where its escape means the same but cannot end the element.
    escaped_data = data.decode().replace("<", chr(92) + "u003c")
    scripts = [
        f'<script type="application/json" id="data">{escaped_data}</script>',
        f"<script>{own_scripts}</script>",
        # Last, so that a reader sees the texts while the browser still parses this one.
        f"<script>{_escape_tags(chart_script().script.decode())}</script>",
    ]
    return _LIVE.sub("", _filled(f"<style>\n{_embeddable(STYLE)}</style>", "\n".join(scripts))).encode()


def report(snapshot: Snapshot) -> bytes:
    """Return the report of a run in any state; the same snapshot always gives the same bytes."""
    return report_page(
        msgspec.json.encode(
            {
                # Without places: a report may be moved, and must be the same on every machine.
                "view": view(snapshot, ""),
                "charts": chart_data(snapshot.timeline, MAX_BARS),
                "made_at": snapshot.summary.made_at,
            }
        )
    )


def _embeddable(name: str) -> str:
    return _escape_tags(read_asset(name).decode())


def _escape_tags(script: str) -> str:
    # In a script such a tag only occurs in a string or a regular expression, where a backslash changes nothing.
    return _SCRIPT_TAG.sub("<\\\\", script)


def _filled(style: str, scripts: str) -> str:
    return read_asset("page.html").decode().replace("<!-- style -->", style).replace("<!-- scripts -->", scripts)
