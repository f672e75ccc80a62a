"""Programs that expect to be at the places where their Debian package puts them, run from another folder."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from benchmarks.peers import install

_one_at_a_time = threading.Lock()
"""Held while a program is edited, which another thread may be about to start."""


def erlang(root: Path) -> tuple[Path, dict[str, str]]:
    """Return the folder of Erlang's programs below ``root``, and their environment."""
    home = root / "usr" / "lib" / "erlang"
    script = home / "bin" / "erl"
    with _one_at_a_time:
        text = script.read_text(encoding="utf-8")
        if f"={home}" not in text:
            script.write_text(text.replace("=/usr/lib/erlang", f"={home}"), encoding="utf-8")
    programs = home / "bin"
    return programs, {
        **install.library_path(root),
        "PATH": os.pathsep.join((str(programs), os.environ.get("PATH", os.defpath))),
    }


def ruby(root: Path) -> tuple[str, dict[str, str]]:
    """Return Ruby's interpreter below ``root``, and the environment in which it finds its libraries and gems."""
    program = str(next(root.glob("usr/bin/ruby[0-9]*")))
    libraries = [*root.glob("usr/lib/ruby/vendor_ruby"), *root.glob("usr/lib/ruby/vendor_ruby/[0-9]*")]
    for place in (*root.glob("usr/lib/*-linux-gnu*/ruby"), root / "usr" / "lib" / "ruby"):
        libraries += [*place.glob("vendor_ruby/[0-9]*"), *place.glob("[0-9]*")]
    gems = [path.parent for path in root.glob("usr/**/specifications") if path.is_dir()]
    return program, {
        **install.library_path(root),
        "RUBYLIB": os.pathsep.join(map(str, libraries)),
        "GEM_PATH": os.pathsep.join(map(str, gems)),
    }
