"""Feed profiles: TOML files that describe an external feed by the same settings as the ``FEED_`` variables.

A profile is read into the texts of settings, by the name of their variable, so that a key and its variable have one
parser. Files that ship with the client are presets and have a name instead of a path.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from services.client.external.profiles import profile_texts
from services.client.external.profiles.profile_files import SENT_FILES, outside_files
from services.client.external.profiles.profile_texts import Unsuitable
from services.client.external.profiles.toml_lines import KeyPath, key_lines, line_of
from services.runtime.cli import suggest
from services.runtime.errors import BadSettings
from services.runtime.setting_tables.parsers import VARIABLE
from services.runtime.settings import BY_NAME, EXTERNAL

PRESETS = Path(__file__).parent / "presets"
"""The folder of the profiles that ship with the client."""
RESERVED = ("client", "seq", "next", "key")
"""Names that a message's template replaces, so that no variable can have them."""
NAMES_BY_KEY = {
    key: setting.name for setting in (BY_NAME["SERVER_URL"], *EXTERNAL) for key in filter(None, setting.key.split(", "))
}
"""The environment variable of every key of a profile."""
_MAX_BYTES = 1024 * 1024
_TOML_LINE = re.compile(r"^(.*) \(at (?:line (\d+), column \d+|end of document)\)$", re.DOTALL)


class Variable(NamedTuple):
    """A variable of a profile.

    Attributes:
        about: what its value is.
        default: its value unless ``FEED_VARIABLES`` gives one; None if it must be given.
    """

    about: str
    default: str | None


class Profile(NamedTuple):
    """A profile, before its variables have values.

    Attributes:
        feed: its name or path, as the operator gives it.
        about: one line about the feed.
        variables: by name.
        texts: the texts of settings by the name of their environment variable.
        places: file, line and key of these settings, as an error begins with them.
    """

    feed: str
    about: str
    variables: Mapping[str, Variable]
    texts: Mapping[str, str]
    places: Mapping[str, str]

    def filled(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the texts with the values of the variables put in.

        Raises:
            BadSettings: a variable has no value, or a value is given for a variable that the profile does not have.
        """
        problems = [
            f"FEED_VARIABLES: {self.feed} has no variable {name}; {suggest(name, self.variables) or self._named()}"
            for name in given
            if name not in self.variables
        ]
        values = {name: given.get(name) or one.default for name, one in self.variables.items()}
        problems += [
            f"FEED={self.feed}: the variable {name} has no value ({self.variables[name].about}):"
            f' FEED_VARIABLES="{name}=…"'
            for name, value in values.items()
            if value is None
        ]
        if problems:
            raise BadSettings(problems)
        return {
            name: profile_texts.fill(name, text, {key: value or "" for key, value in values.items()})
            for name, text in self.texts.items()
        }

    def _named(self) -> str:
        return f"it has {', '.join(self.variables) or 'none'}"


class DescribedFeed(NamedTuple):
    """The settings of a feed, from the environment and its profile.

    Attributes:
        environment: the settings' texts by the name of their variable; other variables of the environment as well.
        places: where the profile has a setting, for those that the environment does not set itself.
    """

    environment: Mapping[str, str]
    places: Mapping[str, str]

    def located(self, problem: str) -> str:
        """Return a problem with the place in the profile instead of the variable's name, if the profile is its source.

        Args:
            problem: begins with the name of a setting, and perhaps ``=`` and its text.
        """
        match = re.match(r"(\w+)(?:=(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\w+))?: ", problem)
        place = self.places.get(match[1]) if match is not None else None
        return f"{place}: {problem[match.end() :]}" if match is not None and place is not None else problem


def describe(environment: Mapping[str, str]) -> DescribedFeed:
    """Return the settings of an environment, completed from the profile that ``FEED`` names; an empty value is not set.

    Raises:
        BadSettings: the profile cannot be read, its variables have no values, or no address is given.
    """
    feed = environment.get("FEED", "").strip()
    given = environment.get("FEED_VARIABLES", "").strip()
    if feed in ("", "foreign", "streamgauge"):
        if given:
            raise BadSettings(["FEED_VARIABLES: without a profile in FEED there are no variables"])
        return DescribedFeed(environment, {})
    profile = load(feed)
    variables = BY_NAME["FEED_VARIABLES"]
    try:
        texts = profile.filled(variables.read(given) if given else {})
    except ValueError as expected:
        raise BadSettings([variables.mistake(given, expected)]) from None
    set_here = {name for name, text in environment.items() if text.strip()}
    if "SERVER_URL" not in texts.keys() | set_here:
        raise BadSettings([f"FEED={feed}: the profile has no connect.url, so SERVER_URL must be the feed's address"])
    own = {name: text for name, text in texts.items() if name not in set_here}
    if environment.get("FEED_COMMANDS", "").strip() != "yes":
        _refuse_files_elsewhere(profile, own)
    return DescribedFeed({**environment, **own}, {name: profile.places[name] for name in own})


def _refuse_files_elsewhere(profile: Profile, texts: Mapping[str, str]) -> None:
    folder = path_of(profile.feed)
    problems = [
        f"{profile.places[name]}: {path!r} is not in the folder of the profile: its content would be sent to the feed's"
        " server; FEED_COMMANDS=yes permits that"
        + (f", and {name} names a file without a profile" if name in SENT_FILES else "")
        for name, path in outside_files(texts, folder)
    ]
    if problems:
        raise BadSettings(problems)


def is_path(feed: str) -> bool:
    """Return whether a profile is named by its path, which contains a ``/`` or ends in ``.toml``."""
    return "/" in feed or feed.endswith(".toml")


_HINTS: dict[type[OSError], str] = {
    FileNotFoundError: "; copy feeds/example.toml, or let `python -m services.client feeds check --url ADDRESS`"
    " propose a profile; a container sees the folder feeds/ only",
    # It mounts /dev/null if no folder is named.
    NotADirectoryError: "; a release's compose file mounts the folder that FEEDS names: FEEDS=./feeds",
}


def load(feed: str) -> Profile:
    """Return a profile by its path or by the name of a preset.

    Raises:
        BadSettings: with every problem of the file, each with its line.
    """
    path = path_of(feed)
    if not is_path(feed) and feed not in preset_names():
        known = ("foreign", "streamgauge", *preset_names())
        hint = suggest(feed, known) or "python -m services.client feeds lists them"
        raise BadSettings([f"FEED={feed!r}: no such preset; {hint}; a profile of your own is a path: feeds/mine.toml"])
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as problem:
        hint = next((text for kind, text in _HINTS.items() if isinstance(problem, kind)), "")
        raise BadSettings([f"FEED={feed!r}: {problem.strerror}{hint}"]) from problem
    return parse(feed, feed if is_path(feed) else path.name, data)


def path_of(feed: str) -> Path:
    """Return the file of a profile: its own path, which contains a ``/`` or ends in ``.toml``, or that of a preset."""
    return Path(feed) if is_path(feed) else PRESETS / f"{feed}.toml"


def preset_names() -> list[str]:
    """Return the names of the presets, in order."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def parse(feed: str, file: str, data: bytes) -> Profile:
    """Return the profile in a file.

    Args:
        feed: its name or path, as the operator gives it.
        file: its name, as errors show it.
        data: its contents.

    Raises:
        BadSettings: with every problem, each with its line.
    """
    if len(data) > _MAX_BYTES:
        raise BadSettings([f"{file}: expected at most {_MAX_BYTES:,} bytes"])
    try:
        text = data.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise BadSettings([f"{file}:{line}: expected UTF-8"]) from problem
    except (ValueError, RecursionError) as problem:  # beside TOML's own errors, an integer of thousands of digits
        _raise_syntax(file, data, str(problem))
    return _Document(feed, file, document, key_lines(text)).profile()


def _raise_syntax(file: str, data: bytes, problem: str) -> NoReturn:
    match = _TOML_LINE.match(problem)
    what, line = (match[1], match[2]) if match is not None else (problem, "1")
    # Without a line the end of the file is meant.
    last = data.rstrip().count(b"\n") + 1
    raise BadSettings([f"{file}:{line or last}: no TOML: {what}"])


class _Document:
    """A parsed TOML file, and the lines of its keys."""

    def __init__(self, feed: str, file: str, document: dict[str, Any], lines: dict[KeyPath, int]) -> None:
        self._feed, self._file, self._document, self._lines = feed, file, document, lines
        self._problems: list[str] = []

    def profile(self) -> Profile:
        """Return the profile.

        Raises:
            BadSettings: with every problem.
        """
        about = self._text(("about",), self._document.pop("about", ""))
        variables = self._variables(self._document.pop("variables", {}))
        given: dict[str, dict[str, Any]] = {}
        for path, value in self._leaves((), self._document):
            name = NAMES_BY_KEY.get(".".join(path))
            if name is None:
                self._refuse_key(path)
            else:
                given.setdefault(name, {})[".".join(path)] = value
        texts, places = {}, {}
        for name, values in given.items():
            places[name] = self._place(tuple(next(iter(values)).split(".")))
            try:
                texts[name] = profile_texts.text_of(name, values)
            except Unsuitable as unsuitable:
                self._problems.append(f"{self._place(unsuitable.path)}: expected {unsuitable}")
        # A step of the greeting may capture a part of an answer under a name, for the messages after it.
        greetings = "\n".join(texts.get(name, "") for name in ("FEED_HELLO", "FEED_RESUME"))
        known = {*variables, *RESERVED, *profile_texts.captured_in(greetings)}
        for name, text in texts.items():
            self._check_variables(places[name], text, known)
        if self._problems:
            raise BadSettings(self._problems)
        return Profile(self._feed, about, variables, texts, places)

    def _place(self, path: KeyPath) -> str:
        key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
        return f"{self._file}:{line_of(self._lines, path)}: {key}"

    def _leaves(self, path: tuple[str, ...], table: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
        for name, value in table.items():
            inner = (*path, name)
            if isinstance(value, dict) and ".".join(inner) not in NAMES_BY_KEY:
                # An empty table of an unknown name must be reported too.
                yield from self._leaves(inner, value) if value or _is_table(inner) else ((inner, value),)
            else:
                yield inner, value

    def _refuse_key(self, path: tuple[str, ...]) -> None:
        tables = sorted({key.partition(".")[0] for key in NAMES_BY_KEY if "." in key} | {"variables"})
        known_tables = ", ".join(tables)
        key = ".".join(path)
        known = [*NAMES_BY_KEY, "about"]
        if len(path) > 1 and not _is_table(path[:1]):
            near = suggest(path[0], tables)
            what, path = f"no such table; {near or f'the tables are {known_tables}'}", path[:1]
        else:
            same = [one for one in known if one.startswith(f"{path[0]}.")]
            keys = ", ".join(same or known)
            what = f"no such key; {suggest(key, known) or f'the keys are {keys}'}"
        problem = f"{self._place(path)}: {what}"
        if problem not in self._problems:
            self._problems.append(problem)

    def _variables(self, table: Any) -> dict[str, Variable]:
        variables = {}
        if not isinstance(table, dict):
            self._problems.append(f"{self._place(('variables',))}: expected tables like [variables.symbol]")
            return {}
        for name, facts in table.items():
            path = ("variables", name)
            if not re.fullmatch(VARIABLE, name) or name in RESERVED:
                expected = f"a name of a-z 0-9 _ that is none of {', '.join(RESERVED)}"
                self._problems.append(f"{self._place(path)}: expected {expected}")
            elif not isinstance(facts, dict):
                self._problems.append(f"{self._place(path)}: expected a table with about, and perhaps default")
            else:
                for key in facts.keys() - {"about", "default"}:
                    hint = suggest(key, ("about", "default")) or "the keys are about, default"
                    self._problems.append(f"{self._place((*path, key))}: no such key; {hint}")
                default = facts.get("default")
                about = self._text((*path, "about"), facts.get("about", ""))
                variables[name] = Variable(about, None if default is None else self._text((*path, "default"), default))
        return variables

    def _text(self, path: KeyPath, value: Any) -> str:
        try:
            return profile_texts.scalar_text(path, value)
        except Unsuitable as unsuitable:
            self._problems.append(f"{self._place(path)}: expected {unsuitable}")
            return ""

    def _check_variables(self, place: str, text: str, known: set[str]) -> None:
        for used in profile_texts.variables_in(text):
            if used not in known:
                hint = suggest(used, known) or f"declare it as [variables.{used}], or write {{{{{used}}}}}"
                self._problems.append(f"{place}: no variable {{{used}}}; {hint}")


def _is_table(path: tuple[str, ...]) -> bool:
    prefix = ".".join((*path, ""))
    return any(key.startswith(prefix) for key in NAMES_BY_KEY)
