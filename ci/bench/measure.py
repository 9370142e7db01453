"""Running programs: for what they say, and for what they use."""

import contextlib
import dataclasses
import json
import mmap
import os
import pathlib
import signal
import statistics
import subprocess
import sys

METER = pathlib.Path(__file__).with_name("meter.py")
# Seconds, for any one program. What hangs ends the run.
LIMIT = 3600
# As much as a step may need of the page cache.
MEMORY = 5 << 30


@dataclasses.dataclass
class Usage:
    """Wall and processor seconds, and the largest process, in bytes."""

    wall: float
    cpu: float
    memory: float


def settle():
    """Lets what was done before be no expense of what is measured next, whoever's that is.

    All is on the disk. And the host of a virtual machine gives memory that nobody used for a while only when it is touched, page by page:
    that cost a restore of 1.2 GB up to four seconds of processor time, or none.
    """
    os.sync()
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    mmap.mmap(-1, min(MEMORY, free // 2), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def measure(command):
    """What a shell command that must succeed used, with all that it started."""
    return Usage(**json.loads(run(sys.executable, "-S", METER, command)))


def median(usages):
    """Each figure's median."""
    return Usage(*(statistics.median(getattr(usage, field.name) for usage in usages) for field in dataclasses.fields(Usage)))


def run(*command, **keywords):
    """The output of a program that must succeed."""
    command = [str(word) for word in command]
    # A group of its own: whatever it started ends with it.
    program = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **keywords)
    try:
        output, said = program.communicate(timeout=LIMIT)
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        check(not isinstance(error, subprocess.TimeoutExpired), f"still running after {LIMIT} s: {' '.join(command)}")
        raise
    check(program.returncode == 0, f"failed: {' '.join(command)}\n{said}")
    return output


def check(holds, otherwise):
    if not holds:
        sys.exit(f"bench: {otherwise}")


def say(what):
    print(what, file=sys.stderr, flush=True)


def bytes_below(folder):
    return sum(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file())
