"""The tests are distributed over workers so that those that measure time are alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repo.repository import ROOT

TESTS = """
import os, time
from pathlib import Path
import pytest

def work(name, seconds):
    began = time.time()
    time.sleep(seconds)
    Path("spans", name).write_text(f"{os.getpid()} {began} {time.time()}")

@pytest.mark.serial
@pytest.mark.parametrize("number", [1, 2, 3])
def test_alone(number):
    work(f"alone{number}", 0.1)

@pytest.mark.parametrize("number", range(6))
def test_beside(number):
    work(f"beside{number}", 0.2)

@pytest.fixture(scope="module")
def shared():
    return os.getpid()

@pytest.mark.parametrize("number", range(4))
def test_shared(shared, number):
    work(f"shared{number}", 0.05)

@pytest.fixture(scope="module")
def browser():
    return os.getpid()

@pytest.mark.parametrize("number", range(9))
def test_browser(browser, number):
    work(f"browser{number}", 0.01)
"""

UNIT_TESTS = """
import os, time
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(8))
def test_short(number):
    began = time.time()
    Path("spans", f"short{number}").write_text(f"{os.getpid()} {began} {time.time()}")
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with some tests, and the settings of this repository's tests."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "spans").mkdir()
    (folder / "tests" / "unit").mkdir(parents=True)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = serial\nasyncio_default_fixture_loop_scope = function\n")
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text(encoding="utf-8"))
    (folder / "tests" / "unit" / "test_unit.py").write_text(UNIT_TESTS)
    (folder / "tests" / "test_all.py").write_text(TESTS)
    return folder


@pytest.fixture(scope="module")
def spans(suite: Path) -> dict[str, tuple[int, float, float]]:
    """Which process ran each of these tests on two workers, from when to when."""
    done = run(suite)
    assert "30 passed" in done.splitlines()[-1], done
    found = {}
    for path in (suite / "spans").iterdir():
        process, began, ended = path.read_text().split()
        found[path.name] = int(process), float(began), float(ended)
    return found


def run(folder: Path, *arguments: str) -> str:
    """Run the tests of a folder on two workers; return what pytest prints."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--import-mode=importlib", *arguments]
    environ = {**clean, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout


def test_serial_tests_run_alone(spans: dict[str, tuple[int, float, float]]) -> None:
    """A test with the marker ``serial`` starts after every other test has ended, on one worker."""
    alone = [span for name, span in spans.items() if name.startswith("alone")]
    others = [span for name, span in spans.items() if not name.startswith("alone")]

    assert max(ended for _, _, ended in others) <= min(began for _, began, _ in alone)
    assert 1 == len({process for process, _, _ in alone})


def test_other_tests_run_in_parallel(spans: dict[str, tuple[int, float, float]]) -> None:
    """Tests without a marker run on both workers."""
    assert 2 == len({process for name, (process, _, _) in spans.items() if name.startswith("beside")})


def test_unit_tests_come_last(spans: dict[str, tuple[int, float, float]]) -> None:
    """Unit tests start when the other tests have been assigned to workers, which hold a few of them back."""
    short = min(began for name, (_, began, _) in spans.items() if name.startswith("short"))
    others = sorted(began for name, (_, began, _) in spans.items() if name.startswith(("beside", "shared")))

    assert others[len(others) // 2] < short


def test_a_browser_starts_after_the_tests_that_wait(spans: dict[str, tuple[int, float, float]]) -> None:
    """Tests with a browser start when all others have been assigned to workers, which hold a few of them back."""
    browser = min(began for name, (_, began, _) in spans.items() if name.startswith("browser"))
    others = sorted(began for name, (_, began, _) in spans.items() if name.startswith(("beside", "shared", "short")))

    assert others[len(others) // 2] < browser


def test_tests_of_one_fixture_share_a_worker(spans: dict[str, tuple[int, float, float]]) -> None:
    """Tests that use the same fixture of their module run on the same worker, which sets it up once."""
    assert 1 == len({process for name, (process, _, _) in spans.items() if name.startswith("shared")})


@pytest.mark.parametrize(("chosen", "count"), [("alone", 3), ("alone or 0", 7), ("beside and 1", 1)])
def test_a_choice_of_tests_ends(suite: Path, chosen: str, count: int) -> None:
    """However few tests are chosen, all of them run and the workers end."""
    assert f"{count} passed" in run(suite, "-k", chosen).splitlines()[-1]
