"""strongroom, restic and zstd -1 | age on the same data: time, memory, and what is stored.

A snapshot of a real etcd and what becomes of it hour by hour, a folder of small files, and a list of many snapshots.
"""

import filecmp

import etcd
import measure
import report
from measure import check, median, say
from tools import Pipe, Restic, Strongroom
from values import Values, change_file, make_files, same_files

LENGTHS = [600, 1500, 4000, 16_000]
JOBS = 100


def arguments(parser):
    parser.add_argument("--size", type=int, default=300, help="MB of the etcd snapshot")
    parser.add_argument("--hours", type=int, default=24, help="later snapshots")
    parser.add_argument("--files", type=int, default=20_000, help="how many small files")
    parser.add_argument("--snapshots", type=int, default=10_000, help="how many snapshots to list")
    parser.add_argument("--rounds", type=int, default=3, help="how often a first snapshot and a restore are measured")


def measure_all(folder, options):
    values = Values()
    blob = measure_blob(folder, options, values)
    files = measure_files(folder, options, values)
    listing = measure_listing(folder, options.snapshots)
    tools = tools_for(folder / "versions", folder)
    lines = report.heading("Beside other tools", [tool.version() for tool in tools] + [etcd.version()])
    before, after = (report.megabytes(blob["sizes"][at]) for at in (0, -1))
    lines += [
        f"A snapshot file of {before} MB of a real etcd (values of {LENGTHS[0]} to {LENGTHS[-1]} bytes; one third of them random, two "
        f"thirds text), then {options.hours} hourly ones with 1 % of the keys changed in between, without compaction (the last has "
        f"{after} MB). Every tool backs up the same file. Then {options.files:,} files of 0.5 to 8 KB, and once more with 1 % of them "
        f"changed. First snapshots, restores and `verify` are medians of {options.rounds} runs, later snapshots of the blob of "
        f"{options.hours}, of the files the one.", "",
        "### Targets", "", *targets(blob, files, listing, tools),
        "### All figures", "", *figures(blob, files)]
    report.write("compare", lines)


# ---- What is measured: {tool: {step: Usage}}, and what was stored beside it.

def measure_blob(folder, options, values):
    (folder / "data").mkdir()
    path = folder / "data" / "snapshot.db"
    with etcd.running(folder / "etcd") as server:
        keys = fill(server, options.size * 10**6, values)
        sizes = [server.snapshot(path)]
        tools = tools_for(folder / "blob", path)
        steps = {tool.title: {} for tool in tools}
        stored = {tool.title: {} for tool in tools}
        first(tools, options.rounds, steps, stored)
        later = {tool.title: [] for tool in tools}
        for hour in range(options.hours):
            server.put((key, values.value(values.random.choice(LENGTHS))) for key in values.sample(keys, 0.01))
            sizes.append(server.snapshot(path))
            say(f"hour {hour + 1}: {sizes[-1]:,} bytes")
            for tool in tools:
                later[tool.title].append(tool.back_up())
    for tool in tools:
        steps[tool.title]["later snapshot"] = median([usage for usage, _ in later[tool.title]])
        stored[tool.title]["later snapshot"] = sum(added for _, added in later[tool.title]) / options.hours
    restores(tools, options.rounds, steps, lambda tool: filecmp.cmp(path, tool.restored(), shallow=False))
    repositories = {tool.title: tool.stored() for tool in tools}
    for tool in tools[:-1]:
        say(f"verify: {tool.title}")
        steps[tool.title]["verify data"] = median([measure.measure(tool.verify_command()) for _ in range(options.rounds)])
    finish(tools)
    return {"steps": steps, "stored": stored, "sizes": sizes, "repositories": repositories}


def measure_files(folder, options, values):
    secrets = folder / "secrets"
    paths = make_files(secrets, options.files, values)
    size = measure.bytes_below(secrets)
    tools = tools_for(folder / "files", secrets)
    steps = {tool.title: {} for tool in tools}
    stored = {tool.title: {} for tool in tools}
    first(tools, options.rounds, steps, stored)
    for path in values.sample(paths, 0.01):
        change_file(path, values)
    for tool in tools:
        steps[tool.title]["later snapshot"], stored[tool.title]["later snapshot"] = tool.back_up()
    restores(tools, options.rounds, steps, lambda tool: same_files(secrets, tool.restored()))
    finish(tools)
    return {"steps": steps, "stored": stored, "size": size}


def measure_listing(folder, count):
    """The time that `snapshots` takes over many. Of most of them nothing had changed; the command reads commits alone."""
    (folder / "few").mkdir()
    (folder / "few" / "secret").write_text("a secret")
    listing = Strongroom(folder / "listing", folder / "few")
    jobs = [f"  job-{number}:\n    sources:\n      - files: {{paths: [{listing.path}]}}\n" for number in range(JOBS)]
    head = listing.config.read_text().split("  bench:")[0]
    listing.config.write_text(head + "".join(jobs))
    say(f"{count:,} backups")
    making = [measure.measure(listing.command("backup")) for _ in range(count // JOBS)]
    usage = median([measure.measure(listing.command("snapshots --json")) for _ in range(3)])
    finish([listing])
    return {"usage": usage, "count": len(making) * JOBS, "making": sum(usage.wall for usage in making)}


def tools_for(folder, path):
    return [Strongroom(folder / "strongroom", path), *(Restic(folder / program, path, program) for program in ("restic-sid", "restic")),
            Pipe(folder / "pipe", path)]


def fill(server, size, values):
    """Puts values until a snapshot has about `size` bytes; returns the keys."""
    keys = []
    while server.size() < size:
        pairs = [(f"/registry/secrets/team-{number % 100}/secret-{number:07}", values.value(values.random.choice(LENGTHS)))
                 for number in range(len(keys), len(keys) + 1000)]
        server.put(pairs)
        keys += [key for key, _ in pairs]
    return keys


def first(tools, rounds, steps, stored):
    runs = {tool.title: [] for tool in tools}
    for _ in range(rounds):
        for tool in tools:
            say(f"first snapshot: {tool.title}")
            tool.begin()
            runs[tool.title].append(tool.back_up())
    for title, measured in runs.items():
        steps[title]["first snapshot"] = median([usage for usage, _ in measured])
        stored[title]["first snapshot"] = sum(added for _, added in measured) / rounds


def restores(tools, rounds, steps, same):
    runs = {tool.title: [] for tool in tools}
    for _ in range(rounds):
        for tool in tools:
            say(f"restore: {tool.title}")
            runs[tool.title].append(tool.restore())
            check(same(tool), f"{tool.title} gave back something else")
    for title, measured in runs.items():
        steps[title]["restore"] = median(measured)


def finish(tools):
    for tool in tools:
        tool.remove()


# ---- What is written.

def targets(blob, files, listing, tools):
    ours, restic, _, pipe = (tool.title for tool in tools)
    steps, stored, sizes = blob["steps"], blob["stored"], blob["sizes"]
    rows = []

    def target(work, reach, own, other, ratio, reached):
        rows.append([work, reach, own, other, ratio, report.verdict(reached)])

    def rate(work, step, steps, size, least, then):
        own, other = steps[ours][step].cpu, steps[restic][step].cpu
        target(f"{work}, bytes per CPU-second", f"{least} times restic's{then}", f"{size / own / 1e6:.0f} MB",
               f"{size / other / 1e6:.0f} MB", f"{other / own:.2f}", other >= least * own)

    rate("first snapshot", "first snapshot", steps, sizes[0], 2.9, " (200 MB)")
    own, other = steps[ours]["first snapshot"].wall, steps[pipe]["first snapshot"].wall
    target("first snapshot, wall", f"less than {pipe}", f"{own:.2f} s", f"{other:.2f} s", f"{other / own:.2f}", own < other)
    own, other = stored[ours]["first snapshot"], stored[restic]["first snapshot"]
    target("first snapshot, stored", "no more than restic", f"{report.megabytes(own)} MB", f"{report.megabytes(other)} MB",
           f"{other / own:.2f}", own <= other)
    rate("later snapshot", "later snapshot", steps, sizes[len(sizes) // 2], 2.4, " (800 MB)")
    rate("restore of the blob", "restore", steps, sizes[-1], 2.5, " (500 MB)")
    rate("restore of small files", "restore", files["steps"], files["size"], 1.5, "")
    own, other = (blob["repositories"][tool] / steps[tool]["verify data"].cpu for tool in (ours, restic))
    target("verify data, stored bytes per CPU-second", "1 GB", f"{own / 1e6:,.0f} MB", f"{other / 1e6:,.0f} MB", f"{own / other:.1f}",
           own >= 1e9)
    target(f"snapshots, over {listing['count']:,} of them", "1 s", f"{listing['usage'].wall:.2f} s", "", "", listing["usage"].wall <= 1)
    return report.table(["work", "to reach", "strongroom", f"{restic}, or the pipe", "ratio", ""], rows) + [
        "Where a target names restic its newest release counts; in brackets what that was in bytes per CPU-second when the target was set. "
        "restic's side of `verify data` is `check --read-data`, which also decrypts. Peak memory has a test of its own, under a limit set by "
        f"the kernel. The {listing['count']:,} snapshots are of {JOBS} jobs and took {listing['making']:.0f} s to make; "
        "their commits name one run each, and those that name many take longer (see the last section); listing took "
        f"{listing['usage'].cpu:.2f} CPU-seconds and {report.megabytes(listing['usage'].memory)} MB of memory.", ""]


def figures(blob, files):
    rows = []
    for what, measured in (("etcd snapshot", blob), ("small files", files)):
        for step in dict.fromkeys(step for steps in measured["steps"].values() for step in steps):
            for title, steps in measured["steps"].items():
                if step in steps:
                    usage, added = steps[step], measured["stored"][title].get(step)
                    rows.append([f"{what}: {step}", title, f"{usage.wall:.2f} s", f"{usage.cpu:.2f} s",
                                 f"{report.megabytes(usage.memory)} MB", "" if added is None else f"{report.megabytes(added)} MB"])
    return report.table(["step", "tool", "wall", "CPU", "memory", "stored (mean)"], rows)
