"""``python -m tools.release files`` writes the compose files of a release, ``… notes`` prints its changelog."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from services import __version__
from tools.release.changelog import BadSection, section, with_links_to
from tools.release.compose_file import released, services_left_out

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy"
LOCAL = "localhost/"
"""The default of `files --images`: images that `docker buildx bake` has built on this machine."""

RUN_HEADER = """\
# Streamgauge {version} from images: this file is all that is needed, in any folder; the logs are in ./volumes there.
#
#   docker compose -f compose.release.yml up --scale client=5
#   docker compose -f compose.release.yml --profile verdict up --exit-code-from verdict --scale client=5
#
# STREAMGAUGE_IMAGES is what precedes the names of the images, registry and folder, such as ghcr.io/owner/.
# {origin}
# Files of your own are mounted from the folders that FEEDS, SCHEMAS and SECRETS name, such as SCHEMAS=./schemas.
# Not in it: the profiles exposed, monitoring and nats, which need further files of a checkout.
#
# `make release-file` writes this file from docker-compose.yml. docs/settings.md has all settings."""
JUDGE_HEADER = """\
# Judges any WebSocket feed, by Streamgauge {version} from images: this file is all that is needed, in any folder. The
# exit code is the verdict:
#
#   FEED=binance-depth FEED_SECONDS=60 CLIENTS=3 docker compose -f judge.release.yml run --rm verdict
#   docker compose -f judge.release.yml down
#
# FEED is a preset, or with FEEDS=./feeds a profile of your own, feeds/mine.toml; SERVER_URL is another server than that
# of the profile. docs/guides/external-feeds.md has all settings.
# STREAMGAUGE_IMAGES is what precedes the names of the images, registry and folder, such as ghcr.io/owner/.
# {origin}
#
# `make release-file` writes this file: compose.release.yml, and below `---` what deploy/foreign.yml changes in it."""
NOT_PUBLISHED = "The default, localhost/, is no registry: `docker buildx bake -f docker-bake.hcl` builds them here."
PUBLISHED = "The default is where the images of this release were published."


def main() -> int:
    """Run a command; return 1 if the release is not complete."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    files = commands.add_parser("files", help="write compose.release.yml and judge.release.yml")
    files.add_argument("--images", default=LOCAL, help="registry and folder of the images, such as ghcr.io/owner/")
    files.add_argument("--out", type=Path, default=FOLDER, help="folder to write to")
    notes = commands.add_parser("notes", help="print the section of the changelog")
    notes.add_argument("--tag", help="the release's tag, which has to be v and the version")
    notes.add_argument("--source", default="", help="address of the files that it links to, with a / at the end")
    arguments = parser.parse_args()
    if arguments.command == "notes":
        return print_notes(arguments.tag, arguments.source)
    return write_files(arguments.images, arguments.out)


def contents(prefix: str) -> dict[str, str]:
    """Return the compose files of the release by name.

    Args:
        prefix: what precedes the names of the images, by default.
    """
    run, judge = ((ROOT / name).read_text(encoding="utf-8") for name in ("docker-compose.yml", "deploy/foreign.yml"))
    origin = NOT_PUBLISHED if prefix == LOCAL else PUBLISHED
    left_out = services_left_out(run)

    def of(text: str, header: str) -> str:
        return released(text, header.format(version=__version__, origin=origin), prefix, __version__, left_out)

    # Compose merges the documents of one file like several files.
    return {
        "compose.release.yml": of(run, RUN_HEADER),
        "judge.release.yml": f"{of(run, JUDGE_HEADER)}\n{of(judge, '---')}",
    }


def write_files(prefix: str, folder: Path) -> int:
    """Write the compose files of the release into a folder; return 0."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in contents(prefix).items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)
    return 0


def print_notes(tag: str | None, source: str) -> int:
    """Print the section of this version; return 1 if it is not complete, or the tag is of another version."""
    if tag is not None and tag != f"v{__version__}":
        print(f"the tag is {tag}, the version is {__version__}", file=sys.stderr)
        return 1
    try:
        notes = section((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), __version__)
    except BadSection as error:
        print(error, file=sys.stderr)
        return 1
    print(with_links_to(notes, source), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
