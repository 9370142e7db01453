"""Waiting, which has an end."""

import sys
import time


def wait(until, limit, otherwise, server):
    """Asks until it is so: for that many seconds at most, and as long as the server runs."""
    ends = time.monotonic() + limit
    while not until():
        if server.poll() is not None or time.monotonic() > ends:
            sys.exit(f"bench: {otherwise}")
        time.sleep(0.1)
