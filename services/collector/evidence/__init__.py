"""Evidence: the facts about a run in its ledger and block logs, read line by line. Pure: no file is opened here."""
