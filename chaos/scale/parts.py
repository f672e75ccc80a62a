"""The parts of ``make scale``, in the order in which they are tried."""

from __future__ import annotations

from chaos.scale.one_folder import ONE_FOLDER
from chaos.scale.one_port import ONE_PORT
from chaos.scale.part import Part

PARTS: tuple[Part, ...] = (ONE_FOLDER, ONE_PORT)
