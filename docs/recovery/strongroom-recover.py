#!/usr/bin/env python3
"""Opens a strongroom repository without strongroom. Written from docs/format/v1.md alone; how to use it: docs/recovery.md.
  strongroom-recover.py REPOSITORY                                              which snapshots there are, who signed them
  strongroom-recover.py REPOSITORY prod/42 -i IDENTITY --trust WRITER --to DIR  writes one out, every byte checked
Needs python3, `age`, and from PyPI: blake3 pynacl zstandard. Prints JSON, so that no name reaches a terminal raw.
"""
import argparse, functools, io, itertools, json, os, pathlib, re, struct, subprocess, sys, urllib.parse
from blake3 import blake3
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as unseal
from nacl.signing import VerifyKey
from zstandard import ZstdDecompressor, frame_content_size

LOG = ["appended", "appender", "number", "previous"]
FIELDS = {"snapshot": "added bytes entries finished parent partial recipients runs sources", "prune": "condemns retains",
          "pin": "pinned snapshot", "forget": "snapshots", "revoke": "after writers", "rotate": "recipients runs"}
FIELDS = {kind: set(f"job kind program repository started writer {own}".split()) for kind, own in FIELDS.items()}
def check(holds, otherwise):
    if not holds:
        raise ValueError(otherwise)
def unique(pairs): return dict(pairs) if len(dict(pairs)) == len(pairs) else check(False, "a field stands twice")
def read(path, most):
    check(path.stat().st_size <= most, f"{path} is absurdly long")
    return path.read_bytes()
def decode(encoding, data, most):
    size = frame_content_size(data) if encoding else len(data)
    check(encoding in (0, 1) and 0 <= size <= most, "an encoding is unknown, or a length absurd")
    return ZstdDecompressor().decompress(data, allow_extra_data=False) if encoding else data
class Reader(io.BytesIO):  # takes numbers and bytes off the front of a buffer
    def take(self, length):
        data = self.read(min(length, 256 << 20))
        check(len(data) == length, "bytes are missing")
        return data
    def varint(self):
        data = self.take(1)
        while data[-1] >= 128 and len(data) < 10:
            data += self.take(1)
        value = sum((byte & 127) << 7 * place for place, byte in enumerate(data))
        check(data[-1] < 128 and value < 1 << 64 and (data[-1] or len(data) == 1), "a number is malformed")
        return value
    def bytes(self): return self.take(self.varint())
    def text(self): return self.bytes().decode()
    def list(self, item): return [item() for _ in range(self.varint())]
    def end(self): check(not self.read(1), "bytes are left over")

def stored(runs, logged):  # the runs of a snapshot as they lie here; `name` is what they were made under
    here, runs = logged.get("copied"), [run | {"name": run["run"]} for run in runs]
    if here is None:
        return runs
    check(here.keys() <= {"repository", "runs", "before"}, "a field is unknown")
    check(here.get("before") is None or 0 < here["before"] < logged["number"], "it was taken before what cannot be there")
    check(len(here["runs"]) == len(runs) == len({run["run"] for run in here["runs"]}), "runs do not lie one by one")
    check(all(run.keys() <= {"run", "rotated"} for run in here["runs"]), "a field is unknown")
    keys = [{"key": it["key"], "key-pq": it.get("key-pq")} if (it := run.get("rotated")) else {} for run in here["runs"]]
    return [run | {"run": place["run"]} | key for run, place, key in zip(runs, here["runs"], keys)]
def read_commit(path, repository, job):
    try:
        raw = read(path, 16 << 20)
        title, statement, by_writer, log, by_appender, rest = raw.split(b"\n")
        commit, logged = (json.loads(text, object_pairs_hook=unique) for text in (statement, log))
        known = sorted(logged.keys() - {"copied", "witness"}) == LOG and commit.keys() == FIELDS.get(commit["kind"], commit.keys())
        known = known and all(re.fullmatch("key-[1-9][0-9]{0,5}", run["object"]) for run in (commit["runs"] if commit["kind"] == "rotate" else []))
        known = known and ("copied" not in logged or commit["kind"] == "snapshot" or commit["kind"] not in FIELDS)
        commit |= {"runs": stored(commit["runs"], logged)} if commit["kind"] == "snapshot" else {}
        place = title, logged["number"], (logged.get("copied") or commit)["repository"], commit["job"], rest
        check(known and place == (b"strongroom commit v1", int(path.name), repository, job, b""), "fields, or the place, are wrong")
        verify = lambda key, message, signature: VerifyKey(bytes.fromhex(key)).verify(message, bytes.fromhex(signature.decode()))
        verify(commit["writer"], b"strongroom v1 statement\n" + statement, by_writer)
        verify(logged["appender"], b"\n".join([b"strongroom v1 log", title, statement, by_writer, log, b""]), by_appender)
        return commit | {"digest": blake3(raw).hexdigest(), "previous": logged["previous"], "appender": logged["appender"]}
    except Exception:  # rule 1: whatever is wrong with it, it is garbage
        return None
def view(log, repository, job, maintainers, trusted):  # the valid commits of a job by number: rules 2 and 3
    names = sorted(path.name for path in log.iterdir() if re.fullmatch("[0-9]{12}", path.name))
    commits = {int(name): commit for name in names if (commit := read_commit(log / name, repository, job))}
    new = [number for number, commit in commits.items() if commit["kind"] not in FIELDS]
    check(not any(commits.pop(number)["appender"] in trusted for number in new), f"{job}: {new} need a newer strongroom")
    prunes = [number for number, commit in commits.items() if commit["kind"] == "prune"
              and {commit["writer"], commit["appender"]} <= set(maintainers)]
    top = max(prunes, default=0)
    retained, last = dict(commits[top]["retains"]) if top else {}, None
    valid = {number: commit for number, commit in commits.items() if number < top and retained.get(number) == commit["digest"]}
    for number, commit in commits.items():
        if number == top or number > top and commit["previous"] == last:
            valid[number], last = commit, commit["digest"]
    return valid
def effects(valid, writers, maintainers):  # what the honoured commits of a job do to its snapshots and runs, onto the commits
    by, after, keys = lambda commit: {commit["writer"], commit["appender"]}, {}, {}
    kinds = lambda *kinds: [(number, commit) for number, commit in valid.items() if commit["kind"] in kinds]
    named = lambda number, at: [commit for below, commit in kinds("snapshot") if below < number
                                and (below, commit["digest"]) == (at["number"], at["digest"])]
    for number, commit in kinds("revoke"):
        if by(commit) <= maintainers:
            after |= {writer: min(after.get(writer, commit["after"]), commit["after"]) for writer in commit["writers"]}
    trusted = lambda who, number: who in writers and number <= after.get(who, number)
    for number, commit in kinds("pin", "forget", "rotate"):
        kept = all(trusted(who, number) or who in maintainers and number <= after.get(who, number) for who in by(commit))
        if by(commit) <= maintainers or commit["kind"] == "pin" and commit["pinned"] and kept:
            keys |= {run["run"]: run for run in commit["runs"]} if commit["kind"] == "rotate" else {}
            for at in [commit["snapshot"]] if commit["kind"] == "pin" else commit.get("snapshots", []):
                for snapshot in named(number, at):
                    snapshot["pinned" if commit["kind"] == "pin" else "forgotten"] = commit.get("pinned", True)
    for number, commit in kinds("snapshot"):
        appended = commit["appender"] in maintainers or trusted(commit["appender"], number)
        commit["trusted"] = trusted(commit["writer"], number) and appended
        rotated = lambda name: {"key-pq": None} | keys[name] if name in keys else {}
        commit["runs"] = [run | {"object": "key"} | rotated(run["run"]) for run in commit["runs"]]
    return valid

class Run:  # its data key, its manifest and its frames; `listed` is what the commit says of its objects, and where they lie
    def __init__(self, folder, repository, job, listed, identity):
        self.folder, self.place = folder / listed["run"], (b"strongroom v1" + bytes.fromhex(repository + listed["name"]), job.encode())
        keys = {listed["object"]: listed["key"], listed["object"] + "-pq": listed.get("key-pq")}  # the second: post-quantum
        keys = {name: object["digest"] for name, object in keys.items() if object}
        self.digests = keys | {"manifest": listed["manifest"]["digest"]}
        self.digests |= {f"pack-{number:06}": digest for number, _, digest in listed["packs"]}
        age = lambda name: subprocess.run(["age", "-d", "-i", identity], input=self.object(name, 64 << 10), stdout=subprocess.PIPE)
        self.key = next((opened.stdout for opened in map(age, keys) if opened.returncode == 0), b"")
        check(len(self.key) == 32, f"{self.folder / listed['object']} does not open with this identity")
        manifest = self.object("manifest", 256 << 20)
        check(manifest[:40] == b"SRMANIF1" + self.derive("key commitment"), f"{self.folder / 'manifest'} is of another key")
        padded = Reader(self.open(manifest[40:], self.derive("manifest key"), 2, 0, 0))
        encoding, length = struct.unpack("<BQ", padded.take(9))
        self.parse(Reader(decode(encoding, padded.take(length), 256 << 20)))
    @functools.lru_cache(4)
    def object(self, name, most):
        data = read(self.folder / name, most)
        check(blake3(data).hexdigest() == self.digests.get(name), f"{self.folder / name} is not what the commit names")
        return data
    def derive(self, what, salt=b""):
        return blake3(self.key + salt, derive_key_context="strongroom v1 " + what).digest()
    def open(self, sealed, key, kind, stream, ordinal):
        return unseal(sealed, struct.pack("<BIQ", kind, stream, ordinal).join(self.place), bytes(24), key)
    def parse(self, body):
        check(body.varint() == 1, "the manifest needs a newer strongroom")
        self.configuration, origins = body.bytes(), body.list(lambda: (body.take(16).hex(), body.varint()))
        fact, incomplete = lambda: (body.text(), body.text()), lambda: (body.bytes(), body.text())
        self.sources = body.list(lambda: (body.text(), body.text(), body.list(fact), body.list(incomplete), body.varint(),
                                          parse_stream(body, origins), parse_stream(body, origins)))
        frame = lambda: (body.varint(), body.varint(), body.varint(), body.list(body.varint))
        self.frames = body.list(lambda: body.list(frame))
        body.end()  # Where in which frame each chunk of a stream is:
        self.where = [[(number, end - size, end) for number, (*_, sizes) in enumerate(frames)
                       for size, end in zip(sizes, itertools.accumulate(sizes))] for frames in self.frames]
    @functools.lru_cache(32)
    def frame(self, stream, number):
        pack, offset, length, chunks = self.frames[stream][number]
        sealed = self.object(f"pack-{pack:06}", 64 << 20)[offset:offset + length]
        plain = self.open(sealed, self.derive("frame key", struct.pack("<IQ", stream, number)), 1, stream, number)
        data = decode(plain[0], plain[1:], 4 << 20)
        check(len(data) == sum(chunks), "a frame's chunks are not as listed")
        return data
    def chunk(self, stream, number):
        frame, start, end = self.where[stream][number]
        return self.frame(stream, frame)[start:end]

def parse_stream(body, origins):  # ranges (run, stream, first, count, length) and groups (count, length, digest)
    length, count = body.varint(), body.varint()
    columns, ends, ranges = [[body.varint() for _ in range(count)] for _ in range(4)], {}, []
    for origin, first, count, size in zip(*columns):
        first = ends.get(origin, 0) + (first >> 1 ^ -(first & 1))  # zigzag, from the end of this origin's last range
        check(first >= 0 and count > 0, "a range is absurd")
        ends[origin] = first + count
        ranges.append((*origins[origin], first, count, size))
    groups = body.list(lambda: (body.varint(), body.varint(), body.take(32)))
    sizes = [size for _, size, _ in groups if size <= 4 << 20]
    check(len(sizes) == len(groups) and length == sum(columns[3]) == sum(sizes), "ranges, groups and length disagree")
    return ranges, groups
def read_stream(runs, ranges, groups):  # bytes, group by group, each given out after its digest was found right
    for run, stream, first, count, length in ranges:
        lengths = [end - start for _, start, end in runs(run).where[stream][first:first + count]]
        check((len(lengths), sum(lengths)) == (count, length), "a range is not as long as its chunks")
    chunks = (runs(run).chunk(stream, number) for run, stream, first, count, _ in ranges for number in range(first, first + count))
    for count, length, digest in groups:
        group = list(itertools.islice(chunks, min(count, length)))
        right = blake3(b"".join(blake3(chunk).digest() for chunk in group)).digest() == digest and sum(map(len, group)) == length
        check(right and len(group) == count, "the bytes of a group are not those that were captured")
        yield memoryview(b"".join(group))
    check(next(chunks, None) is None, "there are chunks without a group")
def new_file(folder, parts):  # whatever an entry is called, its file is a new one below the folder
    parts = [urllib.parse.quote(part, safe="@=,:+ ") for part in parts]
    path = folder.joinpath(*({"": "%", ".": "%2E", "..": "%2E%2E"}.get(part, part) for part in parts))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "xb")
    except OSError:  # the name is too long, or another entry's folder has it: the index says what this file is
        return open(folder / f"%{len(os.listdir(folder))}", "xb")
def write_out(runs, folder, index, name, kind, facts, incomplete, count, content, catalog):
    catalog, content, rest, last = Reader(b"".join(read_stream(runs, *catalog))), read_stream(runs, *content), b"", None
    text = lambda data: urllib.parse.quote(data, safe="/@=,:+ ")  # exact, and harmless wherever it is shown
    for _ in range(count):
        record, files = Reader(catalog.bytes()), []
        kind, entry, attributes = record.take(1)[0], record.bytes(), dict(record.list(lambda: (record.text(), record.bytes())))
        check(kind in (1, 2) and (last is None or last < entry), "an entry is of an unknown kind, or names are out of order")
        field = lambda: ([record.bytes()] if kind == 2 else [], record.varint(), record.take(32))  # a blob: one without a key
        fields, last = record.list(field) if kind == 2 else [field()], entry
        record.end()
        for key, length, digest in fields if attributes.get("type", b"file") == b"file" else []:  # links, folders: see the index
            hasher = blake3()
            with new_file(folder, [name.encode(), *entry.split(b"/"), *key]) as file:
                while length:
                    rest = rest or next(content)
                    part, rest = rest[:length], rest[length:]
                    length -= file.write(part)
                    hasher.update(part)
            check(hasher.digest() == digest, f"{file.name} is not what was captured")
            files.append(os.path.relpath(file.name, folder))
        line = {"source": name, "entry": text(entry), "files": files, "attributes": {k: text(v) for k, v in attributes.items()}}
        print(json.dumps(line), file=index)
    catalog.end()
    for entry, reason in incomplete:
        print(json.dumps({"source": name, "entry": text(entry), "incomplete": reason}), file=index)

sys.excepthook = lambda kind, error, _: print(f"strongroom-recover: {kind.__name__}: {error}", file=sys.stderr)
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("repository", type=pathlib.Path)
parser.add_argument("snapshot", nargs="?", help="JOB/NUMBER")
parser.add_argument("-i", "--identity", help="the age identity file that opens it")
parser.add_argument("--trust", action="append", default=[], metavar="WRITER", help="a public key; may be repeated")
parser.add_argument("--maintainer", action="append", default=[], metavar="KEY", help="whose prunes count; may be repeated")
parser.add_argument("--to", type=pathlib.Path, metavar="DIR", help="a folder to make and to write into")
options = parser.parse_args()
head = json.loads(read(options.repository / "strongroom.json", 64 << 10))
check((head["format"], head["version"]) == ("strongroom repository", 1), "a newer strongroom is needed")
commits = {f"{log.parent.name}/{number}": commit for log in sorted(options.repository.glob("*/log"))
           for number, commit in effects(view(log, head["id"], log.parent.name, options.maintainer, options.maintainer + options.trust),
                                         set(options.trust), set(options.maintainer)).items()}
if not options.snapshot:
    for name, commit in commits.items():
        told = {key: commit.get(key) for key in "kind writer appender finished partial entries bytes pinned forgotten".split()}
        print(json.dumps({"snapshot": name, "trusted": commit.get("trusted", commit["writer"] in options.trust)} | told))
else:
    commit = commits.get(options.snapshot, {"kind": None})
    check(commit["kind"] == "snapshot", f"there is no valid snapshot {options.snapshot}")
    check({commit["writer"], commit["appender"]} <= set(options.trust + options.maintainer),
          f"a key that signed it is not trusted: --trust {commit['writer']} --trust {commit['appender']}, if they are yours")
    check(commit["trusted"], f"its writer {commit['writer']}, or {commit['appender']}, who put it there, was revoked")
    options.to.mkdir(0o700)
    folder, listed = options.repository / commit["job"] / "runs", {run["name"]: run for run in commit["runs"]}
    runs = functools.cache(lambda name: Run(folder, commit["repository"], commit["job"], listed[name], options.identity))
    index = open(options.to / "%index.jsonl", "x")
    for source in runs(commit["runs"][0]["name"]).sources:
        write_out(runs, options.to, index, *source)
