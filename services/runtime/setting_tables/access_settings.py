"""The table of the settings that a service needs when it can be reached from other machines.

Tests compare the table with ``docs/guides/exposed.md``, which describes them to operators, and with the compose file.
"""

from __future__ import annotations

from services.runtime.setting_tables.parsers import Setting, any_path, choice, host_names

INTERNAL = "internal"
"""The value of ``EXPOSURE`` on a network of containers to which no other machine has access."""
INSECURE = "INSECURE"
"""The value of ``EXPOSURE`` that permits to listen without token and TLS; in capitals, so that it is noticed."""

SETTINGS = (
    Setting(
        "EXPOSURE",
        "",
        "server, collector",
        choice("", INTERNAL, INSECURE),
        "empty = beyond this machine only with token and TLS; internal = on the compose network, as compose sets it;"
        " INSECURE = anywhere without token and TLS, behind your own proxy or firewall",
    ),
    Setting(
        "FEED_TOKEN_FILE",
        "",
        "server, client, collector",
        any_path,
        "tokens and what each permits; a client sends its token from this file",
    ),
    Setting("TLS_CERT_FILE", "", "server, collector", any_path, "certificate of feed, page and serve, a PEM file"),
    Setting("TLS_KEY_FILE", "", "server, collector", any_path, "key of this certificate, a PEM file"),
    Setting(
        "TLS_CA_FILE",
        "",
        "client, collector",
        any_path,
        "certificates to trust when connecting by wss:// or https://; empty = those of the system",
    ),
    Setting(
        "PAGE_NAMES",
        "",
        "collector",
        host_names,
        "further host names under which the page answers, separated by commas",
    ),
)
