"""Running programs: for what they say, and for what they use."""

import dataclasses
import json
import pathlib
import statistics
import subprocess
import sys

METER = pathlib.Path(__file__).with_name("meter.py")


@dataclasses.dataclass
class Usage:
    """Wall and processor seconds, and the largest process, in bytes."""

    wall: float
    cpu: float
    memory: float


def measure(command):
    """What a shell command that must succeed used, with all that it started."""
    return Usage(**json.loads(run(sys.executable, "-S", METER, command)))


def median(usages):
    """Each figure's median."""
    return Usage(*(statistics.median(getattr(usage, field.name) for usage in usages) for field in dataclasses.fields(Usage)))


def run(*command, **keywords):
    """The output of a program that must succeed."""
    command = [str(word) for word in command]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **keywords)
    check(done.returncode == 0, f"failed: {' '.join(command)}\n{done.stderr}")
    return done.stdout


def check(holds, otherwise):
    if not holds:
        sys.exit(f"bench: {otherwise}")


def say(what):
    print(what, file=sys.stderr, flush=True)


def bytes_below(folder):
    return sum(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file())


