"""Called by ./bench: measures strongroom beside other tools, and what its constants cost. See docs/benchmarks.md."""

import argparse
import os
import pathlib
import signal
import sys
import tempfile

import alternatives
import compare
import hours
import kubernetes
import live
import sets
import simulate
import stores

COMMANDS = {"compare": compare, "sets": sets, "cluster-hours": hours, "stores": stores, "etcd": live, "kubernetes": kubernetes,
            "alternatives": alternatives, "simulate": simulate}


def main():
    parser = argparse.ArgumentParser(prog="./bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        module.arguments(commands.add_parser(name, help=module.__doc__.splitlines()[0], description=module.__doc__))
    commands.add_parser("all", help="All of them, at full size.")
    options = parser.parse_args()
    # So that servers and folders go on every way out.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(f"bench: ended by {signal.Signals(number).name}"))
    for name in COMMANDS if options.command == "all" else [options.command]:
        chosen = parser.parse_args([name]) if options.command == "all" else options
        with tempfile.TemporaryDirectory(prefix="strongroom-bench.") as folder:
            os.chdir(folder)
            COMMANDS[name].measure_all(pathlib.Path(folder), chosen)
            os.chdir("/")


if __name__ == "__main__":
    main()
