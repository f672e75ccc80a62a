"""Tests of services/collector/publish/web/self_metrics.py."""

from services.collector.publish.view_model import Tile
from services.collector.publish.web.self_metrics import (
    LONG_BEHIND_SECONDS,
    WINDOW_SECONDS,
    CollectorEffort,
    SelfMeter,
    resident_bytes,
)


def tiles(meter: SelfMeter, caught_up_at: float = 100.0, errors: int = 0) -> dict[str, Tile]:
    """Return the tiles by key, at a time of 100 s."""
    made = meter.tiles(CollectorEffort(12_345, 9_000_000, caught_up_at), errors, 71_000_000, 100.0)
    return {tile.key: tile for tile in made}


def test_the_processor_is_measured_over_the_last_seconds() -> None:
    """Processor time before the window does not count."""
    meter = SelfMeter()
    meter.add_reading(0.0, 0.0)
    meter.add_reading(50.0, 40.0)
    meter.add_reading(50.0 + WINDOW_SECONDS, 40.0 + WINDOW_SECONDS / 10)

    assert 0.1 == round(meter.cpu, 9)
    assert "10.0 %" == tiles(meter)["cpu"].text


def test_one_reading_is_not_enough() -> None:
    """Before the second reading the used fraction is 0."""
    meter = SelfMeter()
    meter.add_reading(1.0, 0.5)

    assert 0.0 == meter.cpu


def test_every_number_has_its_unit() -> None:
    """Each tile has a number with its unit, and no tone while all is well."""
    found = tiles(SelfMeter())

    assert ["0.0 %", "71.0 MB", "0.0 s", "12,345", "0"] == [tile.text for tile in found.values()]
    assert {""} == {tile.tone for tile in found.values()}


def test_trouble_has_a_tone() -> None:
    """High load, being far behind and errors have tones."""
    meter = SelfMeter()
    meter.add_reading(0.0, 0.0)
    meter.add_reading(1.0, 0.9)
    found = tiles(meter, 100.0 - LONG_BEHIND_SECONDS - 1, errors=2)

    assert ("doubt", "doubt", "bad") == (found["cpu"].tone, found["behind"].tone, found["errors"].tone)
    assert "3.0 s" == found["behind"].text


def test_this_process_has_memory() -> None:
    """The resident memory of a Python process is between a megabyte and a terabyte."""
    assert 1_000_000 < resident_bytes() < 10**12
