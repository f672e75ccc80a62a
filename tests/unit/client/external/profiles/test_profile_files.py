"""Tests of the files that a profile names: what is in them is sent to the server that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.client.external.profiles.profile import describe
from services.client.external.profiles.profile_files import outside_files
from services.runtime.errors import BadSettings


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("FEED_HELLO_FILE", "{path}"),
        ("FEED_HEADERS_FILE", "{path}"),
        ("FEED_AUTHORIZATION_FILE", "{path}"),
        ("FEED_HELLO", '{{"op":"login"}}\n file:{path} '),
        ("FEED_RESUME", "file:{path}"),
    ],
)
def test_a_file_outside_of_the_folder_is_found(tmp_path: Path, name: str, text: str) -> None:
    """A file in the profile's folder or below is its own; one above it, or where a link leads, is not."""
    folder = tmp_path / "feeds"
    (folder / "secrets").mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path / "token")
    profile = folder / "mine.toml"
    own, above = folder / "secrets" / "token", folder / ".." / "token"

    assert [] == list(outside_files({name: text.format(path=own)}, profile))
    assert [] == list(outside_files({"FEED_CA_FILE": str(above)}, profile))
    for path in (above, folder / "link", Path("/etc/passwd")):
        assert [(name, str(path))] == list(outside_files({name: text.format(path=path)}, profile))


def test_a_profile_cannot_send_any_file_of_the_machine(tmp_path: Path) -> None:
    """A profile that names a file elsewhere is refused with its line, unless the operator names or permits it."""
    (tmp_path / "feeds").mkdir()
    (tmp_path / "token").write_text("secret")
    profile = tmp_path / "feeds" / "mine.toml"
    profile.write_text(f"hello_file = '{tmp_path}/token'\n[connect]\nurl = 'ws://x'\n")
    feed = {"FEED": str(profile)}

    with pytest.raises(BadSettings) as refused:
        describe(feed)

    assert (
        f"{profile}:1: hello_file: '{tmp_path}/token' is not in the folder of the profile: its content would be sent to"
        " the feed's server; FEED_COMMANDS=yes permits that, and FEED_HELLO_FILE names a file without a profile"
    ) == "".join(refused.value.problems)
    assert f"{tmp_path}/token" == describe({**feed, "FEED_COMMANDS": "yes"}).environment["FEED_HELLO_FILE"]
    assert "other" == describe({**feed, "FEED_HELLO_FILE": "other"}).environment["FEED_HELLO_FILE"]
