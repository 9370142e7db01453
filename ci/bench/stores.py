"""A bucket behind 1 ms for each request: time, requests, and what they cost in a month; restic beside it.

versitygw on this machine is the server. A relay stands before it, lets each request wait, and counts them.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import time

import measure
import report
from measure import check, median, run, say
from tools import Restic, Strongroom
from values import Values, change_file, make_files

KEY, SECRET, BUCKET = "bench-access", "bench-secret", "bench"
DELAY = 1000  # microseconds
JOBS = 100
# Public prices of S3 Standard, USD for each request; deletes cost nothing.
PRICES = {"PUT": 0.005 / 1000, "LIST": 0.005 / 1000, "GET": 0.0004 / 1000, "DELETE": 0}
HOURS = 730  # in a month
RESTIC_PRUNE = "forget --keep-last 1 --group-by host --prune"
# How many a snapshot refers to at most: docs/format/v1.md, "Choices of this writer".
RUNS = 128
NEW_HOST, MAINTAINED = ", by a new host", ", after a prune"
# What a first backup is of. The rest is measured on noise, of which every byte goes into the bucket.
KINDS = {"text": "values like `./bench compare`'s, a third of them random and the rest text", "noise": "noise"}
KEEP_ONE, KEEP_ALL = (f"retention: {{keep_last: {count}, min_age: 0s, grace: 0s}}\n" for count in (1, 1000))


def arguments(parser):
    parser.add_argument("--size", type=int, default=1000, help="MB of the first backup")
    parser.add_argument("--rounds", type=int, default=3, help="how often a first backup is measured")
    parser.add_argument("--large", type=int, default=4000, help="MB of the snapshot out of which one entry is restored")
    parser.add_argument("--runs", type=int, default=RUNS, help="backups that it comes from, each of which leaves something that is still used")
    parser.add_argument("--snapshots", type=int, default=10_000, help="how many snapshots to list and to prune")


def measure_all(folder, options):
    with Server(folder / "server") as server:
        results = {"operations": {}}
        measure_backups(folder, server, options, results)
        measure_entry(folder, server, options, results)
        measure_many(folder, server, options, results)
    versions = [results["version"], results["restic"], server.version()]
    lines = report.heading("In a bucket", versions)
    lines += [f"Every request waits {DELAY / 1000:g} ms before versitygw, on the same machine and disk, gets it. First backups are of "
              f"{options.size} MB in 20 files and 1,000 small ones, medians of {options.rounds}: of {', and of '.join(KINDS.values())}. Of the noise, nothing has "
              "changed then, and then one of the small files.",
              "", "### Targets", "", *targets(results, options), "### Requests", "", *requests(results)]
    report.write("stores", lines)


class Server:
    """versitygw and the relay before it."""

    def __init__(self, folder):
        self.folder = folder
        self.program = pathlib.Path(run(pathlib.Path(__file__).parents[2] / "servers" / "versitygw.sh").strip()) / "versitygw"

    def version(self):
        return f"versitygw {self.program.parent.name.rpartition('-')[2]}"

    def __enter__(self):
        (self.folder / BUCKET).mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        # Connections are kept, as those of the services that it stands for are.
        self.process = subprocess.Popen([self.program, "--port", address, "--access", KEY, "--secret", SECRET, "--quiet", "--keep-alive", "posix",
                                         self.folder], stdout=subprocess.DEVNULL)
        wait_for(address)
        self.relay = subprocess.Popen(["relay", address, str(DELAY)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.address = self.relay.stdout.readline().strip()
        return self

    def __exit__(self, *_):
        for process in (self.relay, self.process):
            process.kill()
            process.wait()

    def seen(self):
        """Requests by kind, and bytes in both directions, since the last call."""
        self.relay.stdin.write("\n")
        self.relay.stdin.flush()
        return json.loads(self.relay.stdout.readline())

    def cpu(self):
        """The processor seconds of versitygw and of the relay so far."""
        return tuple(cpu(process.pid) for process in (self.process, self.relay))

    def empty(self, prefix):
        shutil.rmtree(self.folder / BUCKET / prefix, ignore_errors=True)


def cpu(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(address):
    host, port = address.split(":")
    for _ in range(200):
        try:
            return socket.create_connection((host, int(port))).close()
        except OSError:
            time.sleep(0.05)
    check(False, f"nothing answers at {address}")


class StrongroomInBucket(Strongroom):
    title = "strongroom"

    def __init__(self, folder, path, server):
        self.server = server
        super().__init__(folder, path)

    def prepare(self):
        self.server.empty(self.folder.name)
        super().prepare()

    def place(self):
        (self.folder / "s3.key").write_text(SECRET)
        return (f"{{url: 's3://{BUCKET}/{self.folder.name}', endpoint: 'http://{self.server.address}', allow_http: true, "
                f"access_key_id: {KEY}, secret_access_key: 'file:s3.key'}}")

    def stored(self):
        return measure.bytes_below(self.server.folder / BUCKET / self.folder.name)


class ResticInBucket(Restic):
    def __init__(self, folder, path, server, program):
        self.server = server
        super().__init__(folder, path, program)

    def prepare(self):
        self.server.empty(self.folder.name)
        super().prepare()

    def command(self, rest):
        return (f"AWS_ACCESS_KEY_ID={KEY} AWS_SECRET_ACCESS_KEY={SECRET} RESTIC_PASSWORD=benchmark {self.program} "
                f"--cache-dir {self.folder}/cache --repo s3:http://{self.server.address}/{BUCKET}/{self.folder.name} --quiet {rest}")

    def stored(self):
        return measure.bytes_below(self.server.folder / BUCKET / self.folder.name)


# ---- What is measured.

def counted(server, results, operation, title, command):
    """What a command used; what it asked for is remembered."""
    server.seen()
    before = server.cpu()
    usage = measure.measure(command)
    used = {"wall": usage.wall, "cpu": usage.cpu, "servers": [after - then for then, after in zip(before, server.cpu(), strict=True)]}
    results["operations"].setdefault(operation, {})[title] = server.seen() | used
    return usage


def measure_backups(folder, server, options, results):
    data = folder / "data"
    values = Values()
    local = Strongroom(folder / "local", data)
    tools = [StrongroomInBucket(folder / "strongroom", data, server), ResticInBucket(folder / "restic", data, server, "restic-sid")]
    ours, restic = tools
    results["version"], results["restic"] = ours.version(), restic.version()
    results["first"] = {}
    for kind, value in (("text", values.value), ("noise", os.urandom)):
        paths = fill(data, options.size, value, values)
        results["first"][kind] = first_backups(server, options, results, kind, local, tools)
    for tool in tools:
        say(f"everything else: {tool.title}")
        counted(server, results, "backup, nothing changed", tool.title, tool.backup_command())
    change_file(paths[0], values)
    for tool in tools:
        counted(server, results, "backup, one file changed", tool.title, tool.backup_command())
    for tool in tools:
        results.setdefault("verify", {})[tool.title] = (tool.stored(), counted(server, results, "verify data", tool.title, tool.verify_command()))
    for tool in tools:
        tool.target = tool.folder / "restored"
        counted(server, results, "restore", tool.title, tool.restore_command())
        shutil.rmtree(tool.target)
    counted(server, results, "snapshots", ours.title, ours.command("snapshots --json"))
    counted(server, results, "snapshots", restic.title, restic.command("snapshots --json"))
    for tool in (local, *tools):
        tool.remove()
    shutil.rmtree(data)


def fill(data, size, value, values):
    """20 large files of that kind of values, and 1,000 small ones, whose paths are returned."""
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    length = 16 * 1024
    for number in range(20):
        with open(data / f"large-{number}", "wb") as file:
            for _ in range(size * 10**6 // 20 // length):
                file.write(value(length))
    return make_files(data / "secrets", 1000, values)


def first_backups(server, options, results, kind, local, tools):
    """The median of each, by tool; the last one of each stays."""
    usages = {}
    for _ in range(options.rounds):
        for tool in (local, *tools):
            name = "local" if tool is local else tool.title
            say(f"first backup of {kind}: {name}")
            tool.begin()
            command = tool.backup_command()
            usage = measure.measure(command) if tool is local else counted(server, results, f"first backup of {kind}", name, command)
            usages.setdefault(name, []).append(usage)
    return {name: median(of_tool) for name, of_tool in usages.items()}


def measure_entry(folder, server, options, results):
    """One entry of 1 KiB out of a large snapshot that refers to as many runs as one may, and out of restic's after the same backups."""
    data = folder / "large"
    data.mkdir()
    parts = options.large // 100
    for number in range(parts):
        (data / f"noise-{number:03}").write_bytes(os.urandom(100 * 10**6))
    entry = data / "entry"
    entry.write_bytes(os.urandom(1024))
    ours, restic = StrongroomInBucket(folder / "entry", data, server), ResticInBucket(folder / "entry-restic", data, server, "restic-sid")
    say(f"{options.runs} backups of {options.large} MB")
    for number in range(options.runs):
        (data / f"part-{number}").write_bytes(os.urandom(20_000))
        for tool in (ours, restic):
            measure.run("bash", "-c", tool.backup_command())
    commits = server.folder / BUCKET / "entry" / "bench" / "log"
    newest = max(commits.iterdir()).read_bytes().split(b"\n")[1]
    results["runs"] = len(json.loads(newest)["runs"])
    check(results["runs"] == min(options.runs, RUNS), f"the snapshot refers to {results['runs']} runs")
    for host in ("", NEW_HOST):
        for tool in (ours, restic):
            if host:
                forget(tool)
            counted(server, results, f"one entry of 1 KiB{host}", tool.title, f"{tool.read_command(entry)} | cmp - {entry}")
    run("strongroom", "keygen", "--writer", "--output", ours.folder / "maintainer.key")
    head, jobs = ours.config.read_text().split("jobs:", 1)
    ours.config.write_text(f"{head}maintainer_key: maintainer.key\n{KEEP_ALL}jobs:{jobs}")
    maintain(server, results, ours, f"prune of {options.runs}, of which all stay")
    counted(server, results, f"one entry of 1 KiB{NEW_HOST}{MAINTAINED}", ours.title, f"{ours.read_command(entry)} | cmp - {entry}")
    for tool in (ours, restic):
        tool.remove()
        server.empty(tool.folder.name)
    shutil.rmtree(data)


def forget(tool):
    """From now on the host has read nothing of the repository."""
    shutil.rmtree(tool.folder / "cache", ignore_errors=True)


def maintain(server, results, ours, operation):
    """What runs every night, before a new host comes."""
    counted(server, results, operation, ours.title, ours.command("prune"))
    forget(ours)


def measure_many(folder, server, options, results):
    """Many snapshots: listed, and all but one of each job pruned."""
    few = folder / "few"
    few.mkdir()
    pruning = {}
    for make, prune in ((many_of_strongroom, "prune"), (many_of_restic, RESTIC_PRUNE)):
        tool = make(folder, server, options, few)
        for again in ("", ", again"):
            usage = counted(server, results, f"snapshots, {options.snapshots:,}{again}", tool.title, tool.command("snapshots --json"))
            results.setdefault("list", {}).setdefault(tool.title, []).append(usage)
        if tool.title == "strongroom":
            few_go = tool.config.read_text()
            tool.config.write_text(few_go.replace(KEEP_ONE, KEEP_ALL))
            maintain(server, results, tool, f"prune of {options.snapshots:,}, of which all stay")
            usage = counted(server, results, f"snapshots, {options.snapshots:,}{MAINTAINED}", tool.title, tool.command("snapshots --json"))
            results["list"][tool.title].append(usage)
            tool.config.write_text(few_go)
        pruning[tool.title] = counted(server, results, f"prune of {options.snapshots:,} to {JOBS}", tool.title, tool.command(prune))
        listed = json.loads(run("bash", "-c", tool.command("snapshots --json")))
        left = len(listed if isinstance(listed, list) else listed["snapshots"])
        check(left == JOBS, f"{tool.title}: {left} snapshots stay")
        tool.remove()
        server.empty(tool.folder.name)
    results["prune"] = pruning


def many_of_strongroom(folder, server, options, few):
    """A repository in the bucket with many snapshots. Made in a directory and moved, for a bucket takes long."""
    making = Strongroom(folder / "making", few)
    run("strongroom", "keygen", "--writer", "--output", making.folder / "maintainer.key")
    jobs = [f"  job-{number}:\n    sources:\n      - files: {{paths: [{few}]}}\n" for number in range(JOBS)]
    head = making.config.read_text().split("jobs:")[0] + "maintainer_key: maintainer.key\n"
    making.config.write_text(head + "jobs:\n" + "".join(jobs))
    say(f"{options.snapshots:,} backups")
    for number in range(options.snapshots // JOBS):
        (few / "secret").write_text(f"a secret, the {number}th")
        measure.run("bash", "-c", making.command("backup"))
    ours = StrongroomInBucket(folder / "many", few, server)
    move(making, ours)
    place = f"repository: {ours.place()}\n" + KEEP_ONE
    for key in ("writer.key", "maintainer.key", "identity.txt"):
        shutil.copy(making.folder / key, ours.folder / key)
    rest = head.split("\n", 1)[1]
    ours.config.write_text(place + rest + "jobs:\n" + "".join(jobs))
    making.remove()
    return ours


def many_of_restic(folder, server, options, few):
    """The same of restic's. A backup takes it half a second or more, and it makes one at a time: so only those of the first job are backups, and
    the other jobs' are `rewrite`s of them under another host's name, which are snapshots of their own that have their data in common."""
    making = Restic(folder / "making-restic", few, "restic-sid")
    say(f"{options.snapshots:,} snapshots of restic")
    for number in range(options.snapshots // JOBS):
        (few / "secret").write_text(f"a secret, the {number}th")
        run("bash", "-c", making.command(f"backup --host job-0 {few}"))
    for number in range(1, JOBS):
        run("bash", "-c", making.command(f"rewrite --host job-0 --new-host job-{number}"))
    restic = ResticInBucket(folder / "many-restic", few, server, "restic-sid")
    move(making, restic)
    making.remove()
    return restic


def move(making, tool):
    """What was made in a directory takes the place of a tool's repository in the bucket, which is a folder of versitygw's."""
    tool.server.empty(tool.folder.name)
    shutil.copytree(making.folder / "repository", tool.server.folder / BUCKET / tool.folder.name)


# ---- What is written.

def targets(results, options):
    ours = "strongroom"
    operations = results["operations"]
    restic = next(title for title in results["first"]["noise"] if title.startswith("restic"))
    unchanged = operations["backup, nothing changed"]
    stored, verify = results["verify"][ours]
    listed, pruned = results["list"], results["prune"]
    rows = [
        *(first_row(results["first"][kind], f"first backup of {options.size} MB of {kind}, wall", ours, restic) for kind in KINDS),
        ["backup, nothing changed", "6 requests, 1 commit", f"{total(unchanged[ours])} requests", f"{total(unchanged[restic])}",
         report.verdict(total(unchanged[ours]) <= 6)],
        *([work, "1 s", f"{listed[ours][at].wall:.2f} s", f"{listed[restic][min(at, 1)].wall:.2f} s", report.verdict(listed[ours][at].wall <= 1)]
          for at, work in ((1, f"list of {options.snapshots:,} snapshots, by a host that has read them"),
                           (2, "by a new host, after a prune by which all stayed"), (0, "by a new host, where nobody ever pruned"))),
        [f"prune of {options.snapshots:,} to {JOBS}", "10 s", *(f"{pruned[title].wall:.1f} s" for title in (ours, restic)),
         report.verdict(pruned[ours].wall <= 10)],
        ["verify data, bytes per CPU-second", "1 GB", f"{stored / verify.cpu / 1e6:,.0f} MB",
         f"{results['verify'][restic][0] / results['verify'][restic][1].cpu / 1e6:,.0f} MB", report.verdict(stored / verify.cpu >= 1e9)],
        *entry_rows(operations, f"one entry of 1 KiB out of {options.large} MB in {results['runs']} runs", ours, restic),
    ]
    used = operations["first backup of noise"][ours]
    whole = used["cpu"] + sum(used["servers"])
    return report.table(["work", "to reach", "strongroom", restic, ""], rows) + [
        f"versitygw and the relay run on the same {os.cpu_count()} processors: of a first backup of noise versitygw used {used['servers'][0]:.1f} CPU-seconds and "
        f"the relay {used['servers'][1]:.1f}, beside {used['cpu']:.1f} of strongroom's own. In less than {whole / os.cpu_count():.1f} s it could not be done here.", "",
        f"The {options.snapshots:,} snapshots are of {JOBS} jobs with one file each. restic's are of as many hosts, but only the first one's, "
        f"{options.snapshots // JOBS}, are backups, which take it half a second each; the others were made of them by `restic rewrite --new-host`. "
        f"They are listed like any, and pruned by `{RESTIC_PRUNE}`, but have their data in common, so that restic has fewer packs to remove.", "",
        f"The entry is read by `cat` and by `restic dump`, out of the newest snapshot after {options.runs} backups, each of which found one "
        f"more file of 20 KB. A snapshot refers to {RUNS} runs at most: those of which most is in use, and its own; what is in others is stored again. "
        "The host has made the backups, and keeps what it then read of the log (restic: of the index and the folders); a new host has nothing. "
        "A prune leaves a bundle of the log's commits; without one each commit is a request.", ""]


def first_row(first, work, ours, restic):
    ratio = first[ours].wall / first["local"].wall
    return [work, "1.3 of a directory's", f"{first[ours].wall:.2f} s ({first['local'].wall:.2f} s: {ratio:.2f})", f"{first[restic].wall:.2f} s",
            report.verdict(ratio <= 1.3)]


def entry_rows(operations, work, ours, restic):
    """By the host that made the backups, and by new ones. Without a prune restic has nothing else to read than with one."""
    yield entry_row(work, "20 requests, 20 MiB", *(operations["one entry of 1 KiB"][title] for title in (ours, restic)))
    others = operations[f"one entry of 1 KiB{NEW_HOST}"]
    maintained = operations[f"one entry of 1 KiB{NEW_HOST}{MAINTAINED}"]
    yield entry_row("by a new host, after a prune by which all stayed", "the same", maintained[ours], others[restic])
    yield entry_row("by a new host, where nobody ever pruned", "the same", others[ours], others[restic])


def entry_row(work, to_reach, mine, theirs):
    down = mine.get("bytes down", 0)
    seen = [f"{total(it)} requests, {it.get('bytes down', 0) / 2**20:.1f} MiB" for it in (mine, theirs)]
    return [work, to_reach, *seen, report.verdict(total(mine) <= 20 and down <= 20 * 2**20)]


def total(seen):
    return sum(seen.get(kind, 0) for kind in PRICES)


def requests(results):
    rows = []
    for operation, tools in results["operations"].items():
        for title, seen in tools.items():
            price = sum(seen.get(kind, 0) * price for kind, price in PRICES.items())
            months = [dollars(price * HOURS * jobs) for jobs in (1, 100, 10_000)] if operation.startswith("backup") else ["", "", ""]
            rows.append([operation, title, *(seen.get(kind, 0) for kind in PRICES), f"{seen.get('bytes up', 0) / 1e6:,.1f}",
                         f"{seen.get('bytes down', 0) / 1e6:,.1f}", f"{seen['wall']:.2f} s", *months])
    head = ["operation", "tool", *PRICES, "MB up", "MB down", "wall", "1 job", "100 jobs", "10,000 jobs"]
    return report.table(head, rows) + [
        "The last three columns are US dollars in a month for the requests of so many hourly jobs, at 0.005 for 1,000 PUT or LIST and 0.0004 for "
        "1,000 GET; what is stored costs beside that. A host keeps the commits that it has read, so that its next backup does not read them again.",
        ""]


def dollars(amount):
    return f"{amount:,.2f}"
