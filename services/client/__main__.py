"""``python -m services.client``: receive the feed and log it in blocks until stopped."""

import os
import sys

from services.client.app import main
from services.client.lookup import give_up_early
from services.client.settings import ClientSettings
from services.runtime import jsonlogs, lifecycle

if __name__ == "__main__":
    jsonlogs.configure("client")
    give_up_early()
    sys.exit(lifecycle.run(lambda: ClientSettings.read(os.environ), main))
