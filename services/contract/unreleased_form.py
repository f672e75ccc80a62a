"""Recognises block logs of external feeds in the form that was never released, to refuse them clearly. Pure.

Their lines had version 1, as those of the own feed have. Without this check their open line would pass as one of the
own feed, and every block would be reported as malformed.
"""

from __future__ import annotations

import msgspec

from services.contract.errors import UnreleasedForm

_FIELDS = {b'"open"': "foreign", b'"block"': "heard", b'"connection"': "connection"}
"""A field that only such a line has, by the kind of line."""


def refuse_unreleased_form(line: bytes) -> None:
    """Refuse a line of this form; any other line passes.

    Raises:
        UnreleasedForm: the line has this form.
    """
    try:
        values = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    kind, version = (bytes(values.get(name, b"")) for name in ("kind", "v"))
    if version == b"1" and _FIELDS.get(kind) in values:
        detail = "version 1 of an external feed's block log; this reader knows version 2: record the run again"
        raise UnreleasedForm(detail, line)
