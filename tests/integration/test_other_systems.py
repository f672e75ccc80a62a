"""The services on a system without the calls and files that only Linux has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.processes import LocalRun

WITHOUT_LINUX = """
import fcntl, io, os, select, selectors, signal, socket, time

for module, names in {
    os: "fdatasync sched_getaffinity sched_setaffinity sched_setscheduler posix_fadvise posix_fallocate sendfile "
    "pidfd_open eventfd memfd_create getrandom splice copy_file_range setns unshare preadv pwritev pipe2 "
    "O_TMPFILE O_PATH O_DIRECT O_NOATIME process_cpu_count getxattr setxattr",
    select: "epoll", selectors: "EpollSelector", signal: "pidfd_send_signal sigtimedwait sigwaitinfo SIGRTMIN SIGPOLL",
    socket: "AF_NETLINK AF_PACKET SO_BINDTODEVICE SO_INCOMING_CPU TCP_QUICKACK TCP_USER_TIMEOUT TCP_CORK accept4",
    time: "CLOCK_BOOTTIME CLOCK_TAI clock_settime",
    fcntl: "F_OFD_SETLK F_SETPIPE_SZ F_ADD_SEALS",
}.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
selectors.DefaultSelector = selectors.PollSelector

def without(call):
    def called(path, *arguments, **options):
        if isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).startswith(("/proc", "/sys")):
            raise FileNotFoundError(2, "No such file or directory", path)
        return call(path, *arguments, **options)
    return called

import builtins
for name in ("open", "stat", "lstat", "listdir", "scandir", "readlink", "access"):
    setattr(os, name, without(getattr(os, name)))
io.open = builtins.open = without(io.open)
"""
"""Runs at the start of each interpreter: macOS has none of these names, and neither ``/proc`` nor ``/sys``."""


@pytest.mark.parametrize("servers", [1, 2])
def test_a_run_passes(tmp_path: Path, servers: int) -> None:
    """A run of three clients passes, with one server and with two."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_LINUX, encoding="utf-8")
    (tmp_path / "volumes").mkdir()
    found = {"PYTHONPATH": os.fspath(tmp_path), "SERVERS": servers}
    with LocalRun(tmp_path / "volumes", CLIENTS=3, RECORDS=300, RATE=300, **found) as run:
        assert 0 == run.wait(), run.text
