"""All servers that are tested."""

from __future__ import annotations

from chaos.external.documented_servers import DOCUMENTED_SERVERS
from chaos.external.packaged_servers import PACKAGED_SERVERS

ALL_SERVERS = PACKAGED_SERVERS + DOCUMENTED_SERVERS
