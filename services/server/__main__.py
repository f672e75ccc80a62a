"""``python -m services.server``: serve the feed until stopped."""

import os
import sys

from services.runtime import jsonlogs, lifecycle
from services.runtime.loop import exact_loop
from services.server.app import main
from services.server.settings import ServerSettings

if __name__ == "__main__":
    jsonlogs.configure("server")
    sys.exit(lifecycle.run(lambda: ServerSettings.read(os.environ), main, exact_loop))
