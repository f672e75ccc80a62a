"""Tests of feed profiles: from TOML to settings, with the place of every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.client.external.profiles.profile import NAMES_BY_KEY, DescribedFeed, Profile, describe, load, parse
from services.client.external.settings import read_feed
from services.runtime.errors import BadSettings
from services.runtime.settings import BY_NAME, EXTERNAL
from tests.repo.markdown import fences
from tests.repo.repository import text as file_text

WITHOUT_KEY = {"FEED", "FEED_VARIABLES", "FEED_COMMANDS"}
"""Settings that no profile can have: which profile, its variables, and its permission to run commands."""

GOOD = r"""
about = "a feed"
hello = ['{"op":"subscribe","symbol":"{symbol}"}', "go"]

[variables.symbol]
about = "the market"

[variables.depth]
about = "levels"
default = 5

[connect]
url = "wss://feed/{symbol}"
subprotocols = ["a", "b"]
max_bytes = 2048

[sequence]
number = "$.u"
key = "$.s"

[decode]
ignore = '^pong|"{symbol}"'

[time]
path = "$.E"
unit = "ms"

[end]
seconds = 2.5
close = [1000, 1001]
match = "bye"
messages = 10
"""


def profile(text: str) -> Profile:
    """Return the profile in a text, as from the file feeds/mine.toml."""
    return parse("feeds/mine.toml", "feeds/mine.toml", text.encode())


def problems(text: str) -> tuple[str, ...]:
    """Return the mistakes of a profile."""
    with pytest.raises(BadSettings) as refused:
        profile(text)
    return refused.value.problems


def written(folder: Path, text: str) -> str:
    """Return the path of a file with this text."""
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_every_setting_has_a_key() -> None:
    """Every setting of a feed has a key of its own, and no key is another's table."""
    without = {setting.name for setting in EXTERNAL if not setting.key}
    keys = [key for setting in EXTERNAL for key in setting.key.split(", ") if key]

    assert not without - WITHOUT_KEY
    assert len(keys) == len(set(keys))
    assert not [key for key in keys for other in keys if other.startswith(f"{key}.")]


def test_keys_become_texts_of_settings() -> None:
    """Texts, numbers, lists and several keys of one setting become the text that the variable would have."""
    filled = profile(GOOD).filled({"symbol": "eth"})

    assert {
        "SERVER_URL": "wss://feed/eth",
        "FEED_HELLO": '{"op":"subscribe","symbol":"eth"}\ngo',
        "FEED_SUBPROTOCOL": "a,b",
        "FEED_MAX_BYTES": "2048",
        "FEED_SEQ": "$.u",
        "FEED_KEY": "$.s",
        "FEED_IGNORE": '^pong|"eth"',
        "FEED_TIME": "$.E ms",
        "FEED_SECONDS": "2.5",
        "FEED_END": "close 1000\nclose 1001\nmessage bye\nmessages 10",
    } == filled


def test_lines_may_end_as_windows_ends_them() -> None:
    """A file with CR LF is read as one with LF, and its mistakes have the same lines."""
    text = GOOD.replace("\n", "\r\n")

    assert profile(GOOD) == profile(text)
    assert problems(GOOD + "numer = 1") == problems(text + "numer = 1")


def test_an_unknown_table_is_one_mistake() -> None:
    """A table with an unknown name is reported once, however many keys it has."""
    assert 1 == len(problems("[sequense]\nnumber = '$.u'\nkey = '$.s'"))


def test_an_empty_value_of_a_variable_is_none() -> None:
    """A variable with an empty value has its default, as an empty setting does."""
    defaults = GOOD.replace('about = "the market"', 'about = "the market"\ndefault = "btc"')

    assert "wss://feed/btc" == profile(defaults).filled({"symbol": ""})["SERVER_URL"]


def test_the_environment_overrides_single_keys(tmp_path: Path) -> None:
    """A variable that is set replaces the key of the profile; an empty one does not."""
    path = written(tmp_path, GOOD.replace('subprotocols = ["a", "b"]', 'subprotocols = "a"'))
    settings = read_feed({
        "FEED": path, "FEED_VARIABLES": "symbol=btc", "FEED_SEQ": "$.v", "FEED_KEY": " ", "FEED_SECONDS": "7",
    })  # fmt: skip

    assert settings is not None
    assert ("wss://feed/btc", "$.v", "$.s", 7) == (
        settings.reach.url, settings.feed.seq, settings.feed.key, settings.seconds,
    )  # fmt: skip


def test_the_settings_of_a_profile_count_for_the_run(tmp_path: Path) -> None:
    """The settings by which clients recognise that they take part in one run include those of the profile."""
    path = written(tmp_path, '[connect]\nurl = "ws://feed"\n[sequence]\nnumber = "$.n"\n')
    settings = read_feed({"FEED": path})

    assert settings is not None
    assert "$.n" == settings.given["FEED_SEQ"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[sequence]\nnumer = '$.u'", "feeds/mine.toml:2: sequence.numer: no such key; did you mean sequence.number?"),
        ("[sequense]\nnumber = '$.u'", "feeds/mine.toml:1: sequense: no such table; did you mean sequence?"),
        ("\n[sequense]", "feeds/mine.toml:2: sequense: no such key; did you mean sequence.key?"),
        ("url = 'ws://feed'", "feeds/mine.toml:1: url: no such key; "),
        ("connect = { url = 'ws://a', orgin = 1 }", "feeds/mine.toml:1: connect.orgin: no such key; did you mean "),
        ("a = 1\n[b\n", "feeds/mine.toml:2: no TOML: Expected ']' at the end of a table declaration"),
        ("a = '''\n\n", "feeds/mine.toml:1: no TOML: "),
        ("[time]\nunit = 'ms'", "feeds/mine.toml:2: time.unit: expected time.path beside it"),
        ("[sequence]\nnumber = ['$.u']", "feeds/mine.toml:2: sequence.number: expected one value and no list"),
        ("[sequence]\nnumber = 1979-05-27", "feeds/mine.toml:2: sequence.number: expected a text or a number"),
        ("[connect]\nmax_bytes = nan", "feeds/mine.toml:2: connect.max_bytes: expected a text or a number"),
        ("hello = [\n'a',\n{ sent = 'b' },\n]", "feeds/mine.toml:3: hello[2]: expected a step with send, file"),
        ("[[hello]]\nsend = 'a'\n[[hello]]\nsend = [1]", "feeds/mine.toml:4: hello[2].send: expected a text or"),
        ("hello = [{ command = 'login' }]", "feeds/mine.toml:1: hello[1].command: expected a list like"),
        ("about = []", "feeds/mine.toml:1: about: expected a text or a number"),
        ("variables = 1", "feeds/mine.toml:1: variables: expected tables like [variables.symbol]"),
        ("[variables.Symbol]\nabout = 'x'", "feeds/mine.toml:1: variables.Symbol: expected a name of a-z 0-9 _ that"),
        ("[variables.seq]", "feeds/mine.toml:1: variables.seq: expected a name of a-z 0-9 _ that is none of client,"),
        ("[variables]\na = 1", "feeds/mine.toml:2: variables.a: expected a table with about, and perhaps default"),
        ("[variables.a]\nabot = 'x'", "feeds/mine.toml:2: variables.a.abot: no such key; did you mean about?"),
        ("[variables.depth]\nabout = 'x'\n[sequence]\nnumber = '$.{dept}'",
         "feeds/mine.toml:4: sequence.number: no variable {dept}; did you mean depth?"),
        ("[sequence]\nnumber = '$.{zz}'",
         "feeds/mine.toml:2: sequence.number: no variable {zz}; declare it as [variables.zz], or write {{zz}}"),
    ],
)  # fmt: skip
def test_a_mistake_has_file_line_and_key(text: str, problem: str) -> None:
    """A mistake is reported with file, line and key, and with the most similar key."""
    (found,) = problems(text)

    assert found.startswith(problem)


def test_all_mistakes_are_reported_together() -> None:
    """Several mistakes of a profile are reported together."""
    assert 3 == len(problems("[sequence]\nnumer = 1\nkee = 2\n[time]\nunit = 'ms'"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[sequence]\nnumber = 'u'", ":4: sequence.number: expected a path like"),
        ("[end]\nseconds = -1", ":4: end.seconds: expected a number from 0"),
        ("[end]\nclose = 99999", ":4: end.close: expected a close code"),
        ("[heartbeat]\npong = 'x'", ":4: heartbeat.pong: without FEED_PING"),
        ("[sequence]\nnumber = '$.n'\nscope = 'key'", ":5: sequence.scope: without FEED_KEY"),
        ("[decode]\nmatch = '('", ":4: decode.match: expected a regular expression"),
    ],
)
def test_a_value_is_parsed_as_that_of_the_variable(tmp_path: Path, text: str, problem: str) -> None:
    """A value that the variable would not accept is refused at its line in the profile."""
    path = written(tmp_path, f"[connect]\nurl = 'ws://feed'\n{text}")
    with pytest.raises(BadSettings) as refused:
        read_feed({"FEED": path})

    assert (f"{path}{problem}",) == tuple(found[: len(path + problem)] for found in refused.value.problems)


def test_a_mistake_in_the_environment_keeps_its_name(tmp_path: Path) -> None:
    """A variable that overrides a key is reported by its own name."""
    path = written(tmp_path, "[connect]\nurl = 'ws://feed'\n[sequence]\nnumber = '$.u'")
    with pytest.raises(BadSettings, match=r"^FEED_SEQ='u': expected a path"):
        read_feed({"FEED": path, "FEED_SEQ": "u"})


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"FEED": "binance-dept"}, "FEED='binance-dept': no such preset; did you mean binance-depth?"),
        ({"FEED": "forein"}, "FEED='forein': no such preset; did you mean foreign?"),
        ({"FEED": "qqqqqqq"}, "python -m services.client feeds lists them; a profile of your own is a path"),
        (
            {"FEED": "feeds/none.toml"},
            "FEED='feeds/none.toml': No such file or directory; copy feeds/example.toml, or let",
        ),
        ({"FEED": "/dev/null/mine.toml"}, "Not a directory; a release's compose file mounts the folder that FEEDS"),
        ({"FEED_VARIABLES": "a=b"}, "FEED_VARIABLES: without a profile in FEED there are no variables"),
        ({"FEED": "kraken", "FEED_VARIABLES": "symbl=x"}, "kraken has no variable symbl; did you mean symbol?"),
        ({"FEED": "kraken", "FEED_VARIABLES": "zzz=x"}, "kraken has no variable zzz; it has symbol"),
        ({"FEED": "kraken", "FEED_VARIABLES": "symbol"}, "FEED_VARIABLES: expected names with values"),
        ({"FEED": "kraken", "FEED_VARIABLES": "a='"}, "FEED_VARIABLES: expected names with values"),
    ],
)
def test_a_wrong_feed_is_one_line(environment: dict[str, str], problem: str) -> None:
    """An unknown feed or variable is one line, which names the most similar one."""
    with pytest.raises(BadSettings) as refused:
        describe(environment)

    assert 1 == len(refused.value.problems)
    assert problem in refused.value.problems[0]


def test_a_variable_without_a_value_is_named() -> None:
    """A variable without default must be given; the message says what its value is."""
    found = profile("[variables.topic]\nabout = 'the topic'\n[connect]\nurl = 'ws://a/{topic}'")

    with pytest.raises(BadSettings, match=r"the variable topic has no value \(the topic\): FEED_VARIABLES=\"topic=…\""):
        found.filled({})
    assert {"SERVER_URL": "ws://a/x y"} == found.filled({"topic": "x y"})


def test_a_profile_needs_an_address(tmp_path: Path) -> None:
    """Without connect.url in the profile the operator has to name the address."""
    path = written(tmp_path, "[sequence]\nnumber = '$.u'")

    with pytest.raises(BadSettings, match=r"no connect.url, so SERVER_URL must be the feed's address"):
        describe({"FEED": path})
    assert "ws://x" == describe({"FEED": path, "SERVER_URL": "ws://x"}).environment["SERVER_URL"]


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """A file that is not UTF-8, or too large, is refused in one line."""
    (tmp_path / "a.toml").write_bytes(b"about = 'x'\n\xff = 1\n")
    (tmp_path / "b.toml").write_bytes(b"#" * 1_048_577)

    with pytest.raises(BadSettings, match=r"a.toml:2: expected UTF-8"):
        load(str(tmp_path / "a.toml"))
    with pytest.raises(BadSettings, match=r"b.toml: expected at most 1,048,576 bytes"):
        load(str(tmp_path / "b.toml"))


@pytest.mark.parametrize(
    ("problem", "located"),
    [
        ("FEED_SEQ='u': expected x", "a.toml:2: sequence.number: expected x"),
        ('FEED_SEQ="it\'s": expected x', "a.toml:2: sequence.number: expected x"),
        ("FEED_SEQ: without y", "a.toml:2: sequence.number: without y"),
        ("FEED_KEY='u': expected x", "FEED_KEY='u': expected x"),
        ("no setting at all", "no setting at all"),
    ],
)
def test_a_problem_is_located(problem: str, located: str) -> None:
    """A problem that begins with a setting of the profile begins with its place instead."""
    assert located == DescribedFeed({}, {"FEED_SEQ": "a.toml:2: sequence.number"}).located(problem)


@pytest.mark.parametrize(
    ("file", "variables"),
    [("docs/guides/external-feeds.md", {"token": "abc"}), ("feeds/example.toml", {})],
)
def test_documented_profiles_are_right(file: str, variables: dict[str, str]) -> None:
    """The profile in the guide, and the example to be copied, can be read."""
    found = file_text(file)
    for one in [found] if file.endswith(".toml") else [fence.text for fence in fences(found, "toml")]:
        assert profile(one).filled(variables)["SERVER_URL"].startswith("ws")


def test_the_address_is_a_key() -> None:
    """The address, which is a setting of every client, has a key too."""
    assert "SERVER_URL" == NAMES_BY_KEY["connect.url"]
    assert "connect.url" == BY_NAME["SERVER_URL"].key
