"""A live etcd of 1.2 GB, captured, captured again, and restored, beside etcdctl and etcdutl.

Both sides capture the same server, one after the other, onto the same disk; whatever a side writes is on the disk when its time ends.
"""

import hashlib
import json
import os
import shutil
import time

import compare
import etcd
import report
from measure import check, measure, median, run, say, settle
from tools import Strongroom
from values import Values

LENGTHS = compare.LENGTHS
SHARE = 0.01
MEMORY = 128 << 20
SAVE, FIRST, UNCHANGED, LATER = "etcdctl snapshot save", "first capture", "capture, nothing changed", "capture, 1 % of the keys rewritten"
DIRECTORY, FILE = "data directory", "file"
# How many times as long as the other side's a step may take.
REACH = {FIRST: 1.5, UNCHANGED: 1.15, LATER: 1.15, DIRECTORY: 1.2, FILE: None}
FILLS_WITHIN = 1800  # seconds


class Live(Strongroom):
    """strongroom with a job that captures an etcd."""

    def __init__(self, folder, endpoint):
        self.endpoint = endpoint
        super().__init__(folder, folder)

    def source(self):
        return f"etcd: {{endpoints: ['http://{self.endpoint}']}}"

    def back_up(self):
        settle()
        return super().back_up()

    def restore_to(self, place):
        return self.command(f"--identity {self.folder / 'identity.txt'} restore bench {place} --yes")


def arguments(parser):
    parser.add_argument("--size", type=int, default=1200, help="MB of the database")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")


def measure_all(folder, options):
    with etcd.running(folder / "etcd") as server:
        values = Values()
        say(f"filling etcd with {options.size} MB")
        began = time.monotonic()
        keys = fill(server, options.size * 10**6, values)
        say(f"{len(keys):,} keys in {time.monotonic() - began:.0f} s")
        ours = Live(folder / "strongroom", server.endpoint)
        captured = captures(folder, server, ours, keys, values, options.rounds)
        captured |= {"keys": len(keys), "keyspace": server.keyspace()}
    shutil.rmtree(folder / "etcd")
    restored = restores(folder, ours, captured, options.rounds)
    versions = [ours.version(), etcd.version()]
    ours.remove()
    report.write("etcd", [*report.heading("etcd", versions), *text(captured, options), *targets(captured, restored),
                          *figures(captured, restored)])


def fill(server, size, values):
    """Puts values until the database has about `size` bytes; returns the keys."""
    keys, ends = [], time.monotonic() + FILLS_WITHIN
    while server.size() < size:
        check(time.monotonic() < ends, f"etcd has {server.size():,} bytes after {FILLS_WITHIN} s")
        fresh = [f"/registry/secrets/team-{number % 100}/secret-{number:07}" for number in range(len(keys), len(keys) + 1000)]
        put(server, fresh, values)
        keys += fresh
    return keys


def put(server, keys, values):
    server.put_in_any_order((key, values.value(values.random.choice(LENGTHS))) for key in keys)


# ---- What is measured.

def captures(folder, server, ours, keys, values, rounds):
    """What each capture used, by step, and what the repository grew by; the newest of both sides are of the same keys."""
    saved = folder / "saved.db"
    server.snapshot(saved)  # so that nobody is the first to read it
    usages = {step: [] for step in (SAVE, FIRST, UNCHANGED, LATER)}
    added = {step: [] for step in (FIRST, UNCHANGED, LATER)}
    sizes = [os.path.getsize(saved)]

    def save():
        saved.unlink()
        settle()
        usages[SAVE].append(measure(f"etcdctl --endpoints {server.endpoint} snapshot save {saved}"))
        sizes.append(os.path.getsize(saved))

    def capture(step):
        usage, grown = ours.back_up()
        usages[step].append(usage)
        added[step].append(grown)

    for number in range(rounds):
        say(f"captures, round {number + 1}")
        save()
        ours.begin()
        capture(FIRST)
        capture(UNCHANGED)
        put(server, values.sample(keys, SHARE), values)
        capture(LATER)
        save()
    return {"usages": usages, "added": added, "sizes": sizes, "saved": saved}


def restores(folder, ours, captured, rounds):
    """What each restore used, ours and the other's, by what was made."""
    saved, copy = captured["saved"], folder / "copy.db"
    expected = status(saved)
    used = {DIRECTORY: ([], []), FILE: ([], [])}

    def measured(command, *made):
        for path in made:
            path.unlink(missing_ok=True) if path.is_file() else shutil.rmtree(path, ignore_errors=True)
        settle()
        return measure(command)

    for number in range(rounds):
        say(f"restores, round {number + 1}")
        data, other = folder / "data", folder / "data-by-etcdutl"
        used[DIRECTORY][1].append(measured(f"cp {saved} {copy} && etcdutl snapshot restore {copy} --data-dir {other} && rm {copy} "
                                           f"&& sync -f {other}", copy, other))
        used[DIRECTORY][0].append(measured(f"{ours.restore_to(f'--data-dir {data} --no-bump-revision')} && sync -f {data}", data))
        used[FILE][1].append(measured(f"cp {saved} {copy} && sync {copy}", copy))
        restored = folder / "restored.db"
        used[FILE][0].append(measured(ours.restore_to(f"--to {restored}"), restored))
        check(is_whole(restored), "the restored file does not have the SHA-256 that it ends with")
        check(status(restored) == expected, f"the restored file is not the snapshot: {status(restored)} and not {expected}")
        for path in (data, other):
            check_served(path, captured["keyspace"])
    return used


def status(path):
    """What etcdutl says of a snapshot that is the same for all snapshots of the same keys."""
    said = json.loads(run("etcdutl", "snapshot", "status", path, "--write-out", "json"))
    return {name: said[name] for name in ("revision", "totalKey")}


def is_whole(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        left = os.path.getsize(path) - digest.digest_size
        while left:
            piece = file.read(min(left, 1 << 20))
            digest.update(piece)
            left -= len(piece)
        return file.read() == digest.digest()


def check_served(data, expected):
    """An etcd that is started on it has all keys with all their history."""
    with etcd.running(data) as server:
        found = server.keyspace()
        check(found == expected, f"an etcd on {data.name} serves something else: {found} and not {expected}")


# ---- What is written.

def text(captured, options):
    size = report.megabytes(captured["sizes"][0])
    return [
        f"One etcd with a database of {size} MB: {captured['keys']:,} values of {LENGTHS[0]} to {LENGTHS[-1]} bytes, one third of them random, two "
        f"thirds text. It runs on the same machine and disk, and does not sync. A round: `{SAVE}`; a first capture, into an empty "
        "repository in a directory; one more, of which nothing is new; 1 % of the keys are rewritten; a later capture; `save` once more. "
        f"Medians of {options.rounds} rounds. Both sides sync what they write: etcdctl its file, before it gives it its name; strongroom every "
        "object and its folder. Before each step all is on the disk, and up to 5 GiB of memory were taken and given back, which a host may have lent to others. "
        "Processor and memory are the client's; the server's, which is the same for both, comes on top.", "",
        "Then what was captured last is restored. The data directory: `cp` of the saved file, `etcdutl snapshot restore` of the copy, which is "
        "removed; strongroom hands what it has opened and verified to the same etcdutl. Both end with `sync -f`, since etcdutl does not sync the "
        "database; the revision is not raised on either side. The file alone: `cp`, and `sync` of the copy, as strongroom syncs its own. Every restored "
        "directory is served by an etcd and has the keys and the history of the first one (its HashKV); every file has the SHA-256 that it "
        "ends with and etcdutl's status.", ""]


def targets(captured, restored):
    usages = captured["usages"]
    save = median(usages[SAVE])
    rows = [row(f"{step}, wall", SAVE, median(usages[step]), save, REACH[step]) for step in (FIRST, UNCHANGED, LATER)]
    most = max(usage.memory for step in (FIRST, UNCHANGED, LATER) for usage in usages[step])
    rows.insert(3, ["captures, memory, the most of all", f"128 MiB ({report.megabytes(MEMORY)} MB)", f"{report.megabytes(most)} MB",
                    f"{report.megabytes(save.memory)} MB", f"{most / save.memory:.2f}", report.verdict(most <= MEMORY)])
    for made, other in ((DIRECTORY, "`cp` and etcdutl"), (FILE, "`cp`")):
        own, others = map(median, restored[made])
        rows.append(row(f"restore of the {made}, wall", other, own, others, REACH[made]))
    return report.table(["work", "to reach", "strongroom", "etcd's own tools", "ratio", ""], rows)


def row(work, other, own, others, reach):
    ratio = own.wall / others.wall
    return [work, f"at most {reach} of {other}" if reach else "", f"{own.wall:.2f} s", f"{others.wall:.2f} s", f"{ratio:.2f}",
            report.verdict(ratio <= reach) if reach else ""]


def figures(captured, restored):
    rows = [figure(step, "strongroom" if step in captured["added"] else "etcdctl", usages, captured["added"].get(step))
            for step, usages in captured["usages"].items()]
    for made, (own, others) in restored.items():
        rows += [figure(f"restore of the {made}", "strongroom", own), figure("", "cp, etcdutl" if made == DIRECTORY else "cp", others)]
    return report.table(["step", "tool", "wall", "least", "most", "CPU", "memory", "stored"], rows)


def figure(step, tool, usages, added=None):
    middle, walls = median(usages), [usage.wall for usage in usages]
    stored = f"{report.megabytes(sum(added) / len(added))} MB" if added else ""
    return [step, tool, f"{middle.wall:.2f} s", f"{min(walls):.2f} s", f"{max(walls):.2f} s", f"{middle.cpu:.2f} s",
            f"{report.megabytes(middle.memory)} MB", stored]
