"""Tests of the table of the settings of an external feed."""

from __future__ import annotations

import pytest

from services.runtime.errors import BadSettings
from services.runtime.setting_tables import feed_settings
from services.runtime.settings import BY_NAME, names_profile, read


def test_names_and_keys_are_unique() -> None:
    """Every setting has a name of its own that begins with FEED, and keys of its own."""
    names = [setting.name for setting in feed_settings.SETTINGS]
    keys = [key for setting in feed_settings.SETTINGS for key in setting.key.split(", ") if key]

    assert len(names) == len(set(names))
    assert len(keys) == len(set(keys))
    assert {name.partition("_")[0] for name in names} == {"FEED"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [("FEED_SEKQ", "did you mean FEED_SEQ?"), ("FEED_0123456789012345678", "docs/guides/external-feeds.md lists them")],
)
def test_an_unknown_name_is_refused(name: str, hint: str) -> None:
    """A name with the prefix of these settings that is none of them is refused, also if it resembles none."""
    with pytest.raises(BadSettings) as refused:
        read({name: "x"}, ())

    assert (f"{name}: no such setting; {hint}",) == refused.value.problems


@pytest.mark.parametrize(
    "name", ["FEED_SERVICE_HOST", "FEED_SERVICE_PORT_WS", "FEED_PORT", "FEED_PORT_9000_TCP_ADDR", "FEEDBACK_URL"]
)
def test_names_of_others_are_not_refused(name: str) -> None:
    """Variables that Kubernetes sets beside a service named feed, and those of other programs, are left alone."""
    assert {} == read({name: "x"}, ())


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("symbol=ethusdt depth=100", {"symbol": "ethusdt", "depth": "100"}),
        ("query='a b' empty=", {"query": "a b", "empty": ""}),
        ("url=a=b", {"url": "a=b"}),
    ],
)
def test_variables_have_names(text: str, values: dict[str, str]) -> None:
    """Values of variables are separated by spaces, and quoted as in a shell."""
    assert values == BY_NAME["FEED_VARIABLES"].read(text)


@pytest.mark.parametrize("text", ["symbol", "Symbol=x", "=x", "a='", "1a=x"])
def test_other_texts_are_no_variables(text: str) -> None:
    """A text without names, or with a quote that is not closed, is refused with the expected form."""
    with pytest.raises(ValueError, match="names with values, separated by spaces: symbol=ethusdt depth=100"):
        BY_NAME["FEED_VARIABLES"].read(text)


@pytest.mark.parametrize(
    ("feed", "expected"),
    [("", False), ("foreign", False), ("streamgauge", False), ("kraken", True), ("a/b.toml", True)],
)
def test_other_feeds_are_profiles(feed: str, expected: bool) -> None:
    """FEED names a profile unless it is one of the two words that describe the kind of feed."""
    assert expected is names_profile({"FEED": feed})
