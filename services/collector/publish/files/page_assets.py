"""The files that the page is made of, as they are served one by one and as they stand in a report.

The charts' script comes with the installed package: no other host is asked for anything.
"""

from __future__ import annotations

import functools
import gzip
import re
from importlib import resources
from typing import NamedTuple

SCRIPTS = (
    "dom.js", "theme.js", "tables.js", "marks.js", "charts.js", "slots.js", "durations.js", "lanes.js",
    "control.js", "block.js", "live.js", "page.js",
)  # fmt: skip
"""In the order in which they need each other."""
STYLE = "page.css"

_LIVE = re.compile(r"<!-- live -->.*?<!-- /live -->\s*", re.DOTALL)
_VERSION = re.compile(rb"plotly\.js v([0-9.]+)")
_ENDS_SCRIPT = re.compile(r"<(?=!--|/?script)", re.IGNORECASE)


class ChartScript(NamedTuple):
    """The charts' script: where it is served, which changes with its version, and its bytes."""

    path: str
    script: bytes


@functools.cache
def charts() -> ChartScript:
    """Return the charts' script, read once."""
    script = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    version = _VERSION.search(script[:1000])
    return ChartScript(f"/plotly-{version[1].decode() if version else 'installed'}.min.js", script)


@functools.cache
def packed_charts() -> bytes:
    """Return the charts' script compressed: a third of its size."""
    return gzip.compress(charts().script, 6, mtime=0)


def file(name: str) -> bytes:
    """Return one of the page's own files."""
    return resources.files("services.collector.publish.web").joinpath("static", name).read_bytes()


def page() -> bytes:
    """Return the live page, which fetches its parts from where it came from."""
    # The charts' script is great, and fetched by ours when the texts stand.
    style = f'<link rel="stylesheet" href="/{STYLE}">\n<meta name="charts" content="{charts().path}">'
    return _fill(style, "\n".join(f'<script src="/{name}" defer></script>' for name in SCRIPTS)).encode()


def report(data: bytes) -> bytes:
    """Return the page as one file around its data, which are JSON: without what only a live page can do."""
    own = "\n".join(_text(name) for name in SCRIPTS if name not in ("control.js", "block.js", "live.js"))
    parts = [
        # A `<` in JSON stands in strings alone: as an escape it means the same, and ends no element.
        f'<script type="application/json" id="data">{data.decode().replace("<", chr(92) + "u003c")}</script>',
        f"<script>{own}</script>",
        # Last, so that a reader sees the texts while the charts' script is still read.
        f"<script>{_inline(charts().script.decode())}</script>",
    ]
    return _LIVE.sub("", _fill(f"<style>\n{_text(STYLE)}</style>", "\n".join(parts))).encode()


def _text(name: str) -> str:
    return _inline(file(name).decode())


def _inline(script: str) -> str:
    # In a script such a thing stands in a string or a pattern, where the backslash changes nothing.
    return _ENDS_SCRIPT.sub("<\\\\", script)


def _fill(style: str, scripts: str) -> str:
    return file("page.html").decode().replace("<!-- style -->", style).replace("<!-- scripts -->", scripts)
