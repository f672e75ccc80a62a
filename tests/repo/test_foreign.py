"""The settings of foreign feeds, told three times: the code's, the document's, the compose file's."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from services.runtime.settings import FOREIGN, Setting
from tests.repo.markdown import rows
from tests.repo.repository import text

INSIDE = {"FEED_AUTHORIZATION_FILE": "/feed/authorization", "FEED_CA_FILE": "/feed/ca.pem"}
"""Files of the host that have a name of their own in the container."""


class _Loader(yaml.SafeLoader):
    """Reads Compose's own tags as the values that they stand before."""


def _as_it_stands(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    return loader.construct_sequence(node) if isinstance(node, yaml.SequenceNode) else {}


_Loader.add_constructor("!override", _as_it_stands)


@pytest.mark.parametrize("setting", FOREIGN, ids=lambda setting: setting.name)
def test_is_documented(setting: Setting) -> None:
    """The document's table has the setting, its default and its meaning as the code has them."""
    table = {row[0]: row[1:] for row in rows(text("docs/foreign-feeds.md")) if len(row) == 3}
    default = f"`{setting.default}`" if setting.default else ""

    assert [default, setting.meaning] == table[f"`{setting.name}`"]


@pytest.mark.parametrize("setting", FOREIGN, ids=lambda setting: setting.name)
def test_is_passed_on(setting: Setting) -> None:
    """The compose file for foreign feeds gives the clients every such setting, with its default."""
    found: dict[str, Any] = yaml.load(text("deploy/foreign.yml"), _Loader)
    given = found["services"]["client"]["environment"][setting.name]
    default = "foreign" if setting.name == "FEED" else setting.default
    inside = INSIDE.get(setting.name)

    assert (f"${{{setting.name}:+{inside}}}" if inside else f"${{{setting.name}:-{default}}}") == given
