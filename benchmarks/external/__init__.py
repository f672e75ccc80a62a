"""Measures a client of an external feed with one record a message: processor time, and latency beside a bare reader."""
