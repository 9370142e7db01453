"""A clock that is set: months of backups within an hour."""

import datetime
import os
import pathlib
import time

from measure import run

SOURCE = pathlib.Path(__file__).with_name("clock.c")
# A Monday, so that every run of the bench has the same days, weeks and months.
BEGINS = datetime.datetime(2026, 1, 5, 0, 10, tzinfo=datetime.UTC)


class Clock:
    """For programs that are linked dynamically: the time that they ask the C library for, and that of the files that they sync."""

    def __init__(self, folder):
        self.library = folder / "clock.so"
        run("cc", "-shared", "-fPIC", "-O2", "-o", self.library, SOURCE, "-ldl")
        self.set(0)

    def set(self, hour):
        """So many hours after it began, from now on."""
        self.time = BEGINS + datetime.timedelta(hours=hour)
        os.environ["BENCH_SHIFT"] = str(round(self.time.timestamp() - time.time()))

    def command(self, program):
        """How a shell calls the program under this clock."""
        return f"env LD_PRELOAD={self.library} {program}"


def near(at, other):
    """Whether that may be the time of a snapshot that was taken at the other."""
    return abs(at - other) < datetime.timedelta(minutes=10)
