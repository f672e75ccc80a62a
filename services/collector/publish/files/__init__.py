"""The files of a run: summary, timeline, report, JUnit, Markdown, CSV."""
