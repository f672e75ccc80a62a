"""The accounts of a run's clients, whether its books have both sides or one."""

from __future__ import annotations

from collections.abc import Sequence

from services.collector.evidence.run_evidence import RunBooks
from services.collector.results.client_result import Account, two_sided_accounts
from services.collector.results.client_result_external import one_sided_accounts


def accounts(books: RunBooks, *, final: bool) -> Sequence[Account]:
    """Return the account of every client that either side knows, by name and number.

    ``final`` says that nothing more will be logged: a client of a foreign feed whose log is open is lost then.
    """
    return one_sided_accounts(books, final=final) if books.is_one_sided else two_sided_accounts(books)
