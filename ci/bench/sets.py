"""Bytes that each later snapshot adds, on the four sets on which the format was designed.

Each is a real etcd, captured every hour. Everything that a backup adds to the repository counts: packs, manifests, maps, keys, commits.
"""

import filecmp
import hashlib

import etcd
import report
from churn import SETS, STEPS, Churn
from measure import check, median, run, say
from tools import Restic, Strongroom
from values import Values

REACH = {"a": 0.4, "a2": 0.1, "b": 0.1, "c": 0.1}
REACH_VALUES = 4


def arguments(parser):
    parser.add_argument("--hours", type=int, default=12, help="later snapshots")
    parser.add_argument("--only", choices=SETS, help="one of the sets; the report is not written")


def measure_all(folder, options):
    chosen = [options.only] if options.only else list(SETS)
    results = {name: measure_set(folder / name, SETS[name], options.hours) for name in chosen}
    lines = report.heading("Bytes added by each later snapshot", [*results[chosen[0]]["versions"], etcd.version()])
    lines += [f"- **{name}**: {SETS[name].title}." for name in chosen]
    lines += ["", f"{options.hours} hours each; restic and strongroom back up the same snapshot file of etcd, once an hour. Changes and "
              f"compaction are spread over {STEPS} steps an hour; what is older than one step is compacted away, as a Kubernetes API server "
              "does it. *Added* is all by which the repository grew, metadata included, the mean of the hours.", ""]
    head = ["set", "file, MB", "first: strongroom, MB", "restic", "added: strongroom, MB", "restic", "ratio", "to reach", ""]
    lines += report.table(head, [added_row(name, results[name]) for name in chosen])
    head = ["set", "values changed an hour, MB", "added / values changed", "to reach", "", "later, CPU: strongroom", "restic"]
    lines += report.table(head, [values_row(name, results[name]) for name in chosen])
    if options.only:
        print("\n".join(lines))
    else:
        report.write("sets", lines)


def measure_set(folder, kind, hours):
    folder.mkdir()
    with etcd.running(folder / "etcd") as server:
        return live_through(folder, kind.title, server, Churn(server, kind, Values()), hours)


def live_through(folder, title, server, life, hours):
    """What strongroom and restic store of an etcd in which this goes on: `life.hour()`, which says how much that was."""
    (folder / "data").mkdir()
    path = folder / "data" / "snapshot.db"
    for _ in range(2):  # until compaction has left room in the file, as it has in any that is not new
        life.hour()
    sizes, changed = [server.snapshot(path)], []
    tools = [Strongroom(folder / "strongroom", path), Restic(folder / "restic", path, "restic-sid")]
    first = [tool.back_up()[1] for tool in tools]
    digests = [sha256(path)]
    later = [[] for _ in tools]
    for hour in range(hours):
        changed.append(life.hour())
        sizes.append(server.snapshot(path))
        digests.append(sha256(path))
        for tool, measured in zip(tools, later):
            measured.append(tool.back_up())
        say(f"{title}: hour {hour + 1}, {sizes[-1]:,} bytes: added " + ", ".join(f"{measured[-1][1]:,}" for measured in later))
    for tool in tools:
        tool.restore()
        check(filecmp.cmp(path, tool.restored(), shallow=False), f"{tool.title} gave back something else")
    for number, digest in enumerate(digests, 1):
        read = run("bash", "-o", "pipefail", "-c", f"{tools[0].read_command(path, f'bench/{number}')} | sha256sum").split()[0]
        check(read == digest, f"strongroom gave back something else of hour {number - 1}")
    result = {"sizes": sizes, "changed": sum(changed) / hours, "first": first, "versions": [tool.version() for tool in tools],
              "added": [sum(added for _, added in measured) / hours for measured in later],
              "most": [max(added for _, added in measured) for measured in later],
              "cpu": [median([usage for usage, _ in measured]).cpu for measured in later]}
    for tool in tools:
        tool.remove()
    return result


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def added_row(name, result):
    ours, restic = result["added"]
    sizes = [result["sizes"][-1], *result["first"], ours, restic]
    return [name, *map(report.megabytes, sizes), f"{ours / restic:.3f}", f"at most {REACH[name]}", report.verdict(ours <= REACH[name] * restic)]


def values_row(name, result):
    ratio = result["added"][0] / result["changed"]
    reach = [f"at most {REACH_VALUES}", report.verdict(ratio <= REACH_VALUES)] if name == "b" else ["", ""]
    return [name, report.megabytes(result["changed"]), f"{ratio:.2f}", *reach, *(f"{cpu:.2f} s" for cpu in result["cpu"])]
