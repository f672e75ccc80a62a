"""The parts of ``make scale``, in the order in which they are tried."""

from __future__ import annotations

from chaos.scale.jetstream import JETSTREAM
from chaos.scale.merged_parts import MERGED_PARTS
from chaos.scale.one_folder import ONE_FOLDER
from chaos.scale.one_port import ONE_PORT
from chaos.scale.part import Part
from chaos.scale.swarm import SWARM

PARTS: tuple[Part, ...] = (ONE_FOLDER, ONE_PORT, SWARM, JETSTREAM, MERGED_PARTS)
