"""Tests of services/collector/publish/web/self_metrics.py."""

from services.collector.publish.view_model import Tile
from services.collector.publish.web.prometheus import CollectorEffort
from services.collector.publish.web.self_metrics import LONG_BEHIND_SECONDS, WINDOW_SECONDS, SelfMeter, resident_bytes


def tiles(meter: SelfMeter, caught_up_at: float = 100.0, complaints: int = 0) -> dict[str, Tile]:
    """Return the tiles by their key, at 100 s."""
    made = meter.tiles(CollectorEffort(12_345, 9_000_000, caught_up_at), complaints, 71_000_000, 100.0)
    return {tile.key: tile for tile in made}


def test_the_processor_is_measured_over_the_last_seconds() -> None:
    """What was used long ago counts no more."""
    meter = SelfMeter()
    meter.note(0.0, 0.0)
    meter.note(50.0, 40.0)
    meter.note(50.0 + WINDOW_SECONDS, 40.0 + WINDOW_SECONDS / 10)

    assert 0.1 == round(meter.cpu, 9)
    assert "10.0 %" == tiles(meter)["cpu"].text


def test_one_reading_is_no_share() -> None:
    """Before the second reading nothing is claimed."""
    meter = SelfMeter()
    meter.note(1.0, 0.5)

    assert 0.0 == meter.cpu


def test_every_number_has_its_unit() -> None:
    """Memory, delay, lines and complaints are told; as long as all is well, without a tone."""
    found = tiles(SelfMeter())

    assert ["0.0 %", "71.0 MB", "0.0 s", "12,345", "0"] == [tile.text for tile in found.values()]
    assert {""} == {tile.tone for tile in found.values()}


def test_trouble_has_a_tone() -> None:
    """Who is long behind, works hard or could not do something says so."""
    meter = SelfMeter()
    meter.note(0.0, 0.0)
    meter.note(1.0, 0.9)
    found = tiles(meter, 100.0 - LONG_BEHIND_SECONDS - 1, complaints=2)

    assert ("doubt", "doubt", "bad") == (found["cpu"].tone, found["behind"].tone, found["complaints"].tone)
    assert "3.0 s" == found["behind"].text


def test_this_process_has_memory() -> None:
    """A Python process has some megabytes, and not a terabyte."""
    assert 1_000_000 < resident_bytes() < 10**12
