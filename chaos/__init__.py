"""Fault injection: into containers, processes, network, disks and files at rest (``make faults``)."""
