"""The version of the software, as it is written into every log."""

SOFTWARE = "streamgauge/0.1.0"
