"""What the writer's constants were chosen by: each one changed alone, and measured on the same data."""

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
# The sets on which a constant makes a difference: units of b are of one to three pages of 4 KiB, all those of a2 are large.
SETS_OF = {"b": ["frames", "units of one chunk, up to", "zstd"], "a2": ["chunks of larger units, on average"]}
# The same for the constants about runs, and at which share of its size a set is lived through.
SIMULATED = {"runs referred to, at most": ("a2", 40), "share of a run in use, at least": ("b", 50)}


def arguments(parser):
    parser.add_argument("--hours", type=int, default=3, help="later snapshots")
    parser.add_argument("--rounds", type=int, default=3, help="how often a first snapshot is measured")
    parser.add_argument("--simulated", type=int, default=300, help="hours that are simulated for what concerns runs")
    parser.add_argument("--part", type=int, default=1, help="the sets at this part of their size")


def measure_all(folder, options):
    program = os.path.abspath(variant.build())
    chosen = variant.command(program, {})
    commands = {(constant.title, shown): variant.command(program, variables)
                for constant in variant.STORED + variant.REFERRED for shown, variables in constant.others.items()}
    lines = report.heading("The writer's constants", [Strongroom(folder / "version", folder, chosen).version(), etcd.version()])
    lines += ["Each constant changed alone. All variants, also the chosen one (in bold), are one program that takes the constants from its "
              "environment, built without optimisation across crates: they compare with each other, not with the other sections.", ""]
    for name, titles in SETS_OF.items():
        constants = [constant for constant in variant.STORED if constant.title in titles]
        programs = {None: chosen} | {key: command for key, command in commands.items() if key[0] in titles}
        lines += stored(folder / name, name, constants, programs, options)
        report.write("alternatives", lines)
    for number, constant in enumerate(variant.REFERRED):
        others = {shown: commands[constant.title, shown] for shown in constant.others}
        lines += simulated(folder / f"simulated-{number}", constant, {f"**{constant.chosen}**": chosen} | others, options.simulated)
        report.write("alternatives", lines)


def stored(folder, name, constants, programs, options):
    """A table for each constant, of what its variants do with the same hours of a set."""
    kind = dataclasses.replace(SETS[name], objects=SETS[name].objects // options.part)
    measured, size = measure_stored(folder, kind, programs, options)
    part = f" at 1/{options.part} of its size" if options.part > 1 else ""
    lines = [f"Set {name}{part} (a file of {report.megabytes(size)} MB): its first snapshot (median of {options.rounds}) and "
             f"{options.hours} later ones; *one value* is `cat` of one of {SMALL_FILES:,} small files.", ""]
    head = ["first, CPU", "memory, MB", "stored, MB", "later, CPU", "added, MB", "restore, CPU", "one value, CPU"]
    for constant in constants:
        keys = [None, *((constant.title, shown) for shown in constant.others)]
        lines += report.table([constant.title, *head], [stored_row(constant, key, measured[key]) for key in keys])
    return lines


def simulated(folder, constant, programs, hours):
    """A table of what the programs store and refer to over these hours."""
    name, part = SIMULATED[constant.title]
    say(f"{constant.title}: {hours} hours")
    kind = dataclasses.replace(SETS[name], objects=SETS[name].objects // part)
    results, size = simulate.live_through(folder, kind, hours, [simulate.Life(program) for program in programs.values()])
    head = ["stored, MB", "added, KB", "of this commits, KB", "runs, mean", "most", "kept, MB", "in use", "newest alone, MB", "in use",
            "later, CPU"]
    return [f"{hours} hourly snapshots of set {name} at 1/{part} of its size ({report.megabytes(size)} MB). *Added* is the mean of the "
            "second half; *kept* is what a prune leaves in the end under the retention of the next section, with metadata; *in use* the share "
            "of the packs that are referred to.", "",
            *report.table([constant.title, *head], [referred_row(*row) for row in zip(programs, results)])]


def measure_stored(folder, kind, programs, options):
    """What every program does with the same hours; and the size of a snapshot file."""
    (folder / "data").mkdir(parents=True)
    path = folder / "data" / "snapshot.db"
    hours = [folder / f"hour-{hour}.db" for hour in range(options.hours + 1)]
    with etcd.running(folder / "etcd") as server:
        churn = Churn(server, kind, Values())
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
    size = os.path.getsize(hours[0])
    shutil.rmtree(folder)
    return results, size


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
            report.megabytes(measured["first"][-1][1]), f"{later.cpu:.2f} s", f"{added / 1e6:.2f}",
            f"{median(measured['restore']).cpu:.2f} s", f"{1000 * median(measured['value']).cpu:.0f} ms"]


def referred_row(title, result):
    stored, held, newest = result["stored"], result["held"], result["newest"]
    added = result["added"] + result["commit"]
    return [title, report.megabytes(stored["packs"] + stored["metadata"]), f"{added / 1e3:.0f}", f"{result['commit'] / 1e3:.1f}",
            f"{result['runs_mean']:.0f}", result["runs_most"], report.megabytes(held["packs"] + held["metadata"]), simulate.in_use(held["referred"]),
            report.megabytes(newest["packs"] + newest["metadata"]), simulate.in_use(newest), f"{result['cpu'][1]:.3f} s"]
