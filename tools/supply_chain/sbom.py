"""Bills of materials of the images, CycloneDX 1.6, from the pinned requirements: the same input makes the same bytes.

They list what this project adds to a base image. What the base brings, such as Python, OpenSSL and a shell, is one
component, the base image: a scanner of images lists its parts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tools.supply_chain.requirement_file import Requirement

SERVICES = ("server", "client", "collector")
Component = dict[str, Any]


def bill(service: str, version: str, base_image: str, requirements: Sequence[Requirement]) -> bytes:
    """Return the bill of materials of a service's image as JSON.

    Args:
        service: name of the service.
        version: of this project.
        base_image: reference of the image that it is built on.
        requirements: of the service.
    """
    present = [requirement for requirement in requirements if requirement.is_in_images]
    image = f"streamgauge-{service}@{version}"
    content: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": image,
                "name": f"streamgauge-{service}",
                "version": version,
                "licenses": [{"license": {"id": "MIT"}}],
            },
            "tools": {"components": [{"type": "application", "name": "streamgauge tools.supply_chain"}]},
        },
        "components": [_base(base_image), *map(_component, present)],
        "dependencies": _dependencies(image, base_image, present),
    }
    # Of the content, so that it changes exactly when the content does.
    serial = uuid5(NAMESPACE_URL, json.dumps(content, sort_keys=True))
    content["serialNumber"] = f"urn:uuid:{serial}"
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _base(image: str) -> Component:
    name, _, tag = image.partition("@")[0].rpartition(":")
    component: Component = {"type": "container", "bom-ref": image, "name": name or tag, "version": tag if name else ""}
    if "@sha256:" in image:
        component["hashes"] = [{"alg": "SHA-256", "content": image.rpartition("@sha256:")[2]}]
    return component


def _component(requirement: Requirement) -> Component:
    component: Component = {
        "type": "library",
        "bom-ref": _purl(requirement),
        "name": requirement.name,
        "version": requirement.version,
        "purl": _purl(requirement),
        # Not the component's own hash: which of these files is installed depends on the platform.
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{requirement.name}/{requirement.version}/",
                "hashes": [{"alg": "SHA-256", "content": digest} for digest in requirement.sha256],
            }
        ],
    }
    if licence := _licence(requirement):
        component["licenses"] = [licence]
    return component


def _purl(requirement: Requirement) -> str:
    return f"pkg:pypi/{requirement.name}@{requirement.version}"


def _licence(requirement: Requirement) -> Mapping[str, Any] | None:
    """Return the licence that the installed package of the same version states; None if it is not installed."""
    try:
        found = metadata.metadata(requirement.name)
    except metadata.PackageNotFoundError:
        return None
    if found["Version"] != requirement.version:
        return None
    if "License-Expression" in found:
        return {"expression": found["License-Expression"]}
    classifiers = [text.rpartition(" :: ")[2] for text in found.get_all("Classifier") or [] if "License ::" in text]
    names = classifiers or [text.partition("\n")[0] for text in found.get_all("License") or []]
    return {"license": {"name": names[0]}} if names else None


def _dependencies(image: str, base: str, requirements: Sequence[Requirement]) -> list[dict[str, Any]]:
    references = {requirement.name: _purl(requirement) for requirement in requirements}
    needs: dict[str, list[str]] = {image: [base], base: [], **{reference: [] for reference in references.values()}}
    for requirement in requirements:
        by = [references[name] for name in requirement.needed_by if name in references]
        for reference in by or [image]:
            needs[reference].append(_purl(requirement))
    return [{"ref": reference, "dependsOn": sorted(below)} for reference, below in needs.items()]
