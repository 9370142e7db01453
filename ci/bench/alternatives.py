"""What the writer's constants were chosen by: each one changed alone, built, and measured on the same data."""

import dataclasses
import filecmp
import os
import shutil

import etcd
import measure
import report
import simulate
import variant
from churn import SETS, Churn
from measure import check, median, say
from tools import Strongroom
from values import Values, make_files

SMALL_FILES = 2000
READS = 5
# Where each of the constants about runs makes a difference soonest, and at which share of its size.
SIMULATED = {"runs referred to, at most": ("a2", 40), "share of a run in use, at least": ("b", 50)}


def arguments(parser):
    parser.add_argument("--hours", type=int, default=3, help="later snapshots of set b")
    parser.add_argument("--rounds", type=int, default=3, help="how often a first snapshot is measured")
    parser.add_argument("--simulated", type=int, default=300, help="hours that are simulated for what concerns runs")
    parser.add_argument("--objects", type=int, default=SETS["b"].objects)


def measure_all(folder, options):
    chosen = variant.build()
    programs = {(constant, shown): variant.build(constant, shown) for constant in variant.STORED + variant.REFERRED for shown in constant.others}
    stored = {key: program for key, program in programs.items() if key[0] in variant.STORED}
    measured, size = measure_stored(folder, {None: chosen} | stored, options)
    lines = report.heading("The writer's constants", [Strongroom(folder / "version", folder, chosen).version(), etcd.version()])
    lines += ["Each constant changed alone, in a copy of the tree; all variants, the chosen one in bold too, are built in the same quick way (without "
              "optimisation across crates), so that they compare with each other and not with the other sections. ", "",
              f"Set b ({options.objects:,} objects, a file of {report.megabytes(size)} MB), its first snapshot (median of {options.rounds}) and {options.hours} later "
              f"ones; *one value* is `cat` of one of {SMALL_FILES:,} small files.", ""]
    for constant in variant.STORED:
        keys = [None] + [key for key in stored if key[0] is constant]
        lines += report.table([constant.title, "first, CPU", "memory, MB", "stored, MB", "later, CPU", "added, MB", "restore, CPU", "one value, CPU"],
                              [stored_row(constant, key, measured[key]) for key in keys])
    for number, constant in enumerate(variant.REFERRED):
        name, part = SIMULATED[constant.title]
        kind = dataclasses.replace(SETS[name], objects=SETS[name].objects // part)
        others = {key[1]: program for key, program in programs.items() if key[0] is constant}
        say(f"{constant.title}: {options.simulated} hours")
        results, size = simulate.live_through(folder / f"simulated-{number}", kind, options.simulated, [chosen, *others.values()])
        lines += [f"{options.simulated} hourly snapshots of set {name} at 1/{part} of its size ({report.megabytes(size)} MB). *Added* is the mean of the second half, "
                  "*kept* what the retention of the next section refers to, with metadata.", ""]
        titles = [f"**{constant.chosen}**", *others]
        lines += report.table([constant.title, "stored, MB", "added, KB", "of this commits, KB", "runs, mean", "most", "kept, MB", "in use",
                               "newest alone, MB", "in use", "later, CPU"], [referred_row(*row) for row in zip(titles, results)])
    report.write("alternatives", lines)


def measure_stored(folder, programs, options):
    """What every program does with the same hours of set b; and the size of a snapshot file."""
    (folder / "data").mkdir()
    path = folder / "data" / "snapshot.db"
    hours = [folder / f"hour-{hour}.db" for hour in range(options.hours + 1)]
    with etcd.running(folder / "etcd") as server:
        churn = Churn(server, dataclasses.replace(SETS["b"], objects=options.objects), Values())
        for hour in hours:
            churn.hour()
            server.snapshot(hour)
    shutil.rmtree(folder / "etcd")
    shutil.copy(hours[0], path)
    tools = {key: Strongroom(folder / f"blob-{number}", path, program) for number, (key, program) in enumerate(programs.items())}
    results = {key: {"first": [], "later": [], "restore": []} for key in tools}
    for _ in range(options.rounds):
        for key, tool in tools.items():
            tool.begin()
            results[key]["first"].append(tool.back_up())
    say("first snapshots are measured")
    for hour in hours[1:]:
        shutil.copy(hour, path)
        for key, tool in tools.items():
            results[key]["later"].append(tool.back_up())
    say("later snapshots are measured")
    for key, tool in tools.items():
        for _ in range(options.rounds):
            results[key]["restore"].append(tool.restore())
            check(filecmp.cmp(path, tool.restored(), shallow=False), f"{key} gave back something else")
        tool.remove()
    measure_values(folder, programs, results)
    return results, os.path.getsize(hours[0])


def measure_values(folder, programs, results):
    paths = make_files(folder / "secrets", SMALL_FILES, Values())
    for number, (key, program) in enumerate(programs.items()):
        tool = Strongroom(folder / f"values-{number}", folder / "secrets", program)
        tool.back_up()
        results[key]["value"] = [measure.measure(tool.read_command(paths[len(paths) // 2])) for _ in range(READS)]
        tool.remove()


def stored_row(constant, key, measured):
    first, later = (median([usage for usage, _ in measured[step]]) for step in ("first", "later"))
    added = sum(added for _, added in measured["later"]) / len(measured["later"])
    return [key[1] if key else f"**{constant.chosen}**", f"{first.cpu:.2f} s", report.megabytes(first.memory),
            report.megabytes(measured["first"][-1][1]), f"{later.cpu:.2f} s", f"{added / 1e6:.2f}", f"{median(measured['restore']).cpu:.2f} s",
            f"{1000 * median(measured['value']).cpu:.0f} ms"]


def referred_row(title, result):
    kept, newest = result["referred_kept"], result["referred_newest"]
    return [title, report.megabytes(result["stored"]), f"{(result['added'] + result['commit']) / 1e3:.0f}", f"{result['commit'] / 1e3:.1f}",
            f"{result['runs_mean']:.0f}", result["runs_most"], report.megabytes(kept["packs"] + kept["metadata"]),
            f"{100 * kept['live'] / kept['plain']:.0f} %", report.megabytes(newest["packs"] + newest["metadata"]),
            f"{100 * newest['live'] / newest['plain']:.0f} %", f"{result['cpu'][1]:.3f} s"]
