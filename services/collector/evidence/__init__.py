"""Evidence: what ledger and block logs say about a run, read line by line. Pure: no file is opened here."""
