"""90 days of hourly snapshots: what is stored, and what is referred to under grandfather-father-son retention.

Real backups of a real etcd at a tenth of the size of set b. Nothing is pruned; what a prune could remove is computed from the commits and
the manifests.
"""

import dataclasses
import statistics

import etcd
import measure
import report
from churn import SETS, Churn
from repository import Repository
from tools import Strongroom
from values import Values

STEPS = 2
TIMED = 24


def arguments(parser):
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--objects", type=int, default=10_000)


def measure_all(folder, options):
    kind = dataclasses.replace(SETS["b"], objects=options.objects)
    (result,), size = live_through(folder, kind, options.days * 24, ["strongroom"])
    version = Strongroom(folder / "version", folder).version()
    lines = report.heading(f"{options.days} days of hourly snapshots", [version, etcd.version()])
    lines += [f"{options.days * 24:,} real backups of an etcd with {options.objects:,} objects of 0.5 to 4 KB ({report.megabytes(size)} MB), of "
              f"which 1 % are rewritten at random every hour, compacted {STEPS} times an hour: set b at {options.objects / 1000:g} % of its "
              "size. Kept are the oldest snapshot of each of the last 24 hours, 7 days, 4 weeks and 12 months, and the newest. There is "
              "no `prune` yet: what it could remove is computed. It removes whole packs, so that what is not in use inside of a pack "
              "that is stays.", ""]
    head = ["", "snapshots", "runs", "packs, MB", "of these in use", "keys, manifests, maps, commits, MB"]
    lines += report.table(head, [["all", *all_row(result)], ["kept", *kept_row(result)], ["the newest", *newest_row(result)]])
    own = ", ".join(f"{name} {middle / 1e3:.1f} and {most / 1e3:.1f}" for name, (middle, most) in result["metadata"].items())
    lines += [f"The first snapshot stored {report.megabytes(result['first'])} MB. A snapshot refers to {result['runs_mean']:.0f} runs on "
              f"average and {result['runs_most']} at most. Its own metadata, in KB, median and most: {own}. A backup took "
              f"{result['cpu'][0]:.2f} CPU-seconds on the first day and {result['cpu'][1]:.2f} on the last, when the log had "
              f"{options.days * 24:,} commits. `snapshots` over all of them took {result['listing'].wall:.2f} s and "
              f"{result['listing'].cpu:.2f} CPU-seconds.", ""]
    report.write("simulate", lines)


def live_through(folder, kind, hours, programs):
    """One result for each program, all of which back up the same hours; and the size of a snapshot file."""
    (folder / "data").mkdir(parents=True)
    path = folder / "data" / "snapshot.db"
    with etcd.running(folder / "etcd") as server:
        churn = Churn(server, kind, Values(), STEPS)
        churn.hour()
        tools = [Strongroom(folder / f"strongroom-{number}", path, program) for number, program in enumerate(programs)]
        timed = [[] for _ in tools]
        for hour in range(hours):
            size = server.snapshot(path)
            for tool, usages in zip(tools, timed):
                if 0 < hour <= TIMED or hour >= hours - TIMED:
                    usages.append(measure.measure(tool.backup_command()).cpu)
                else:
                    measure.run("bash", "-c", tool.backup_command())
            churn.hour()
            if hour % 24 == 0:
                measure.say(f"hour {hour}: {', '.join(f'{tool.stored():,}' for tool in tools)} bytes")
    results = [analysed(tool, usages) for tool, usages in zip(tools, timed)]
    for tool in tools:
        tool.remove()
    return results, size


def analysed(tool, usages):
    repository = Repository(tool.folder / "repository", tool.folder / "identity.txt")
    hours = range(len(repository.commits))
    kept = repository.retained()
    metadata = [repository.metadata(hour) for hour in hours]
    runs = [len(commit["runs"]) for commit in repository.commits]
    added = [commit["added"] for commit in repository.commits]
    listing = measure.measure(tool.command("snapshots --json"))
    parts = {name: [sizes[name] for sizes in metadata] for name in metadata[0]}
    return {
        "hours": len(hours), "kept": len(kept), "stored": tool.stored(), "first": added[0],
        "added": statistics.mean(added[len(added) // 2:]),
        "metadata_all": sum(sum(sizes) for sizes in parts.values()),
        "metadata": {name: (statistics.median(sizes), max(sizes)) for name, sizes in parts.items()},
        "runs_mean": statistics.mean(runs), "runs_most": max(runs), "commit": statistics.mean(parts["commit"][len(runs) // 2:]),
        "listing": listing,
        "cpu": (statistics.median(usages[:TIMED]), statistics.median(usages[-TIMED:])),
        "referred_kept": repository.referred(kept), "referred_newest": repository.referred(kept[-1:]),
    }


def all_row(result):
    metadata = result["metadata_all"]
    return [f"{result['hours']:,}", f"{result['hours']:,}", report.megabytes(result["stored"] - metadata), "", report.megabytes(metadata)]


def kept_row(result):
    return [result["kept"], *referred_row(result["referred_kept"])]


def newest_row(result):
    return [1, *referred_row(result["referred_newest"])]


def referred_row(referred):
    return [referred["runs"], report.megabytes(referred["packs"]), f"{100 * referred['live'] / referred['plain']:.0f} %",
            report.megabytes(referred["metadata"])]
