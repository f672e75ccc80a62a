"""``python -m tools.supply_chain sbom`` writes bills of materials, ``… audit`` checks pins and known faults."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from services import __version__
from tools.supply_chain import advisories, pins, sbom
from tools.supply_chain.advisories import NotChecked
from tools.supply_chain.pins import Finding
from tools.supply_chain.requirement_file import parse

ROOT = Path(__file__).resolve().parents[2]
BASE_IMAGE = "python:3.13-slim"
NOT_COVERED = (
    "not covered: the base images and their packages; how a package came to be in its index; the browser of the tests"
)


def base_image_by_digest(_root: Path) -> Iterator[Finding]:
    """The base image is named by digest.

    Raises:
        NotChecked: it is named by a tag, of which the registry may serve another image tomorrow.
    """
    image = os.environ.get("PYTHON_IMAGE") or BASE_IMAGE
    if not pins.DIGEST.search(image):
        raise NotChecked(f"{image} is a tag; name the digest by PYTHON_IMAGE, as for a release")
    yield from ()


def main() -> int:
    """Run a command; return 1 if the audit found something."""
    parser = argparse.ArgumentParser(prog="python -m tools.supply_chain", description=__doc__)
    parser.add_argument("command", choices=["sbom", "audit"])
    parser.add_argument("--out", type=Path, default=Path("sbom"), help="folder of the bills of materials")
    arguments = parser.parse_args()
    return write_bills(arguments.out) if arguments.command == "sbom" else audit()


def write_bills(folder: Path) -> int:
    """Write the bill of materials of every image into a folder; return 0."""
    folder.mkdir(parents=True, exist_ok=True)
    for service in sbom.SERVICES:
        requirements = parse((ROOT / "requirements" / f"{service}.txt").read_text(encoding="utf-8"))
        content = sbom.bill(service, __version__, os.environ.get("PYTHON_IMAGE") or BASE_IMAGE, requirements)
        path = folder / f"streamgauge-{service}.cdx.json"
        path.write_bytes(content)
        print(f"{path}  {sum(requirement.is_in_images for requirement in requirements)} packages")
    return 0


def audit() -> int:
    """Print the result of every check; return 1 if one has found a fault. One that could not be made is no success."""
    has_findings = False
    for check in (*pins.CHECKS, base_image_by_digest, advisories.known_vulnerabilities):
        promise = (check.__doc__ or "").partition("\n")[0].removesuffix(".")
        try:
            findings = list(check(ROOT))
        except NotChecked as why:
            print(f"-  {promise}: NOT CHECKED: {why}")
            continue
        has_findings |= bool(findings)
        print(f"{'✗' if findings else '✓'}  {promise}")
        for finding in findings:
            print(f"     {finding.where}: {finding.what}")
    print(NOT_COVERED)
    return int(has_findings)


if __name__ == "__main__":
    sys.exit(main())
