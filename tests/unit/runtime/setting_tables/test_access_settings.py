"""Tests of services/runtime/setting_tables/access_settings.py."""

import pytest

from services.runtime.setting_tables.access_settings import SETTINGS

BY_NAME = {setting.name: setting for setting in SETTINGS}


def test_nothing_is_set_by_default() -> None:
    """Without any setting no file is needed, and every default is valid."""
    for setting in SETTINGS:
        assert "" == setting.default
        assert not setting.read("")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("stream.example.org", {"stream.example.org"}),
        ("A.example, 192.0.2.7,[2001:db8::7]", {"a.example", "192.0.2.7", "[2001:db8::7]"}),
    ],
)
def test_names_of_the_page_are_a_list(text: str, names: set[str]) -> None:
    """Host names are separated by commas, and compared in lower case."""
    assert names == BY_NAME["PAGE_NAMES"].read(text)


@pytest.mark.parametrize("text", ["a:8766", "https://a", "a b", ",", "a..b", "*", "x" * 254, "2001:db8::7"])
def test_what_is_no_name_is_refused(text: str) -> None:
    """A port, an address of a page or a pattern is no host name."""
    with pytest.raises(ValueError, match="a list of host names"):
        BY_NAME["PAGE_NAMES"].read(text)
