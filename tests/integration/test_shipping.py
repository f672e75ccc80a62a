"""rsyslog forwards block logs byte for byte while they are written."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.processes import ROOT, play
from tests.integration.programs import output_of, program
from tests.poll import poll_until
from tests.readers import Volumes, lines_of

RSYSLOG = ROOT / "deploy" / "shipping" / "rsyslog.conf"
ARRIVED = "var/log/streamgauge/blocks.jsonl"


def placed(folder: Path) -> Path:
    """Return our rsyslog configuration with other folders."""
    text = RSYSLOG.read_text(encoding="utf-8")
    for path in ("/volumes/", "/var/lib/streamgauge", "/var/log/streamgauge"):
        assert path in text
        here = folder / path.strip("/")
        here.mkdir(parents=True, exist_ok=True)
        text = text.replace(path, f"{here}/" if path.endswith("/") else str(here))
    (folder / "rsyslog.conf").write_text(text, encoding="utf-8")
    return folder / "rsyslog.conf"


@contextmanager
def shipping(folder: Path) -> Iterator[Path]:
    """Run rsyslog with our configuration below a folder; return its output file."""
    # A copy in another path: some distributions confine /usr/sbin/rsyslogd to a few folders.
    command = str(shutil.copy(program("rsyslogd", "rsyslog"), folder / "rsyslogd"))
    settings = placed(folder)
    output_of(command, "-N1", "-f", str(settings))
    with subprocess.Popen([command, "-n", "-f", settings, "-i", folder / "pid"]) as process:
        try:
            yield folder / ARRIVED
        finally:
            process.terminate()


def shipped(path: Path) -> list[bytes]:
    """Return the lines that have arrived, sorted."""
    return sorted(lines_of(path)) if path.exists() else []


def written(volumes: Path) -> list[bytes]:
    """Return the lines of all logs, sorted."""
    return sorted(line for path in volumes.glob("logs/*/*/*.jsonl") for line in lines_of(path))


def wait_for(arrived: Path, volumes: Path) -> None:
    """Wait until as many lines have arrived as were written."""
    poll_until(lambda: len(shipped(arrived)) >= len(written(volumes)), "all lines have arrived", 30)


def test_rsyslog_ships_every_line(tmp_path: Path) -> None:
    """Blocks of a megabyte and of thirty kilobytes of two clients arrive unchanged."""
    volumes = tmp_path / "volumes"
    with shipping(tmp_path) as arrived:
        code, _ = play(volumes, CLIENTS=2, RATE=0, RECORDS=12_000, BLOCK_SIZES="5000,100")
        wait_for(arrived, volumes)

    assert 0 == code
    assert written(volumes) == shipped(arrived)
    assert max(map(len, shipped(arrived))) > 1024**2


def test_rsyslog_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """After a restart no line is shipped twice, and no line written meanwhile is left out."""
    volumes = tmp_path / "volumes"
    for _ in range(2):
        play(volumes, CLIENTS=1, RATE=0, RECORDS=1000)
        with shipping(tmp_path) as arrived:
            wait_for(arrived, volumes)

    assert written(volumes) == shipped(tmp_path / ARRIVED)
    assert 2 == len(Volumes(volumes).runs())
