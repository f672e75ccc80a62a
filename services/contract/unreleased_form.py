"""Recognises block logs of external feeds from before the first release, to refuse them with a clear reason. Pure.

Their lines had version 1 like those of the own feed. Without this check the open line would be accepted as one of the
own feed, and each block would be reported as malformed.
"""

from __future__ import annotations

import msgspec

from services.contract.errors import UnreleasedForm

_FIELDS = {b'"open"': "foreign", b'"block"': "heard", b'"connection"': "connection"}
"""By kind of line, a field that only lines of this form have."""


def refuse_unreleased_form(line: bytes) -> None:
    """Raise an error for a line of this form; any other line passes.

    Raises:
        UnreleasedForm: the line has this form.
    """
    try:
        # Values stay undecoded: two of them and the names are enough, and a block may have megabytes of messages.
        values = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # The caller has an error for a line that cannot be read.
        return
    kind, version = (bytes(values.get(name, b"")) for name in ("kind", "v"))
    if version == b"1" and _FIELDS.get(kind) in values:
        detail = "version 1 of an external feed's block log; this reader knows version 2: record the run again"
        raise UnreleasedForm(detail, line)
