"""The conformance kit in ``docs/conformance``, made here line by line: the same every time."""
