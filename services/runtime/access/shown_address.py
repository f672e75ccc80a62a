"""Addresses as logs, pages and terminals may show them: without user, password and query. Pure."""

from __future__ import annotations

import re

# Query strings and user names often contain tokens.
_QUERY = re.compile(r"(\w+://[^\s?#\"'<>]*)[?#][^\s\"'<>]*")
_USER = re.compile(r"(\w+://)[^\s/]*@")


def without_credentials(text: str) -> str:
    """Return a text whose addresses have neither user and password nor query and fragment."""
    return _USER.sub(r"\1", _QUERY.sub(r"\1", text))
