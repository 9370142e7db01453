#!/usr/bin/env python3
"""Opens a strongroom repository without strongroom. Written from docs/format/v1.md alone; how to use it: docs/recovery.md.

  strongroom-recover.py REPOSITORY                                              which snapshots there are, who signed them
  strongroom-recover.py REPOSITORY prod/42 -i IDENTITY --trust WRITER --to DIR  writes one out, every byte checked

Needs python3, `age`, and from PyPI: blake3 pynacl zstandard. Prints JSON, so that no name reaches a terminal raw.
"""
import argparse, bisect, functools, io, json, os, pathlib, re, struct, subprocess, sys
from itertools import accumulate, islice
from urllib.parse import quote
from blake3 import blake3
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as unseal
from nacl.signing import VerifyKey
from zstandard import ZstdDecompressor

KIB, MIB = 1024, 1024 * 1024
SNAPSHOT_FIELDS = ("kind repository job writer program started finished sources partial entries bytes added recipients"
                   " parent runs").split()

def check(holds, otherwise):
    if not holds:
        raise ValueError(otherwise)

def read(path, most, offset=0, length=-1):
    with open(path, "rb") as file:
        check(os.fstat(file.fileno()).st_size <= most, f"{path} is absurdly long")
        file.seek(offset)
        return file.read(length)

class Reader(io.BytesIO):
    """Takes numbers and bytes off the front of a buffer."""
    def take(self, length):
        data = self.read(min(length, 256 * MIB))
        check(len(data) == length, "bytes are missing")
        return data

    def varint(self):
        value, shift, byte = 0, 0, 128
        while byte >= 128:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            check(value < 1 << 64 and (byte or not shift), "a number is malformed")
            shift += 7
        return value

    def bytes(self): return self.take(self.varint())
    def text(self): return self.bytes().decode()
    def list(self, item): return [item() for _ in range(self.varint())]
    def end(self): check(not self.read(1), "bytes are left over")

def decode(encoding, data, most):
    """Bytes as they stand, or in one zstd frame, whose own word about its size is not believed."""
    decoded = ZstdDecompressor().stream_reader(io.BytesIO(data)).read(most + 1) if encoding else data
    check(encoding in (0, 1) and len(decoded) <= most, "an encoding is unknown, or a length absurd")
    return Reader(decoded)

# The log: which commits are valid, by signature and chain (v1.md, "Commits" and "Commit rules").
def read_commit(path, repository, job):
    try:
        raw = read(path, 16 * MIB)
        title, statement, by_writer, log, by_appender, rest = raw.split(b"\n")
        commit, logged = json.loads(statement), json.loads(log)
        check(commit["kind"] != "snapshot" or set(commit) == set(SNAPSHOT_FIELDS), "unknown fields")
        place = title, logged["number"], commit["repository"], commit["job"], rest
        check(place == (b"strongroom commit v1", int(path.name), repository, job, b""), "it belongs elsewhere")
        signed = b"\n".join([b"strongroom v1 log", title, statement, by_writer, log, b""])
        for key, message, signature in ((commit["writer"], b"strongroom v1 statement\n" + statement, by_writer),
                                        (logged["appender"], signed, by_appender)):
            VerifyKey(bytes.fromhex(key)).verify(message, bytes.fromhex(signature.decode()))
        return commit | {"digest": blake3(raw).hexdigest(), "previous": logged["previous"], "appender": logged["appender"]}
    except Exception:  # rule 1: whatever is wrong with it, it is garbage
        return None

def view(log, repository, job, maintainers):
    """{number: commit} of the valid ones, by rules 2 and 3."""
    numbers = sorted(path.name for path in log.iterdir() if re.fullmatch("[0-9]{12}", path.name))
    commits = {int(name): commit for name in numbers if (commit := read_commit(log / name, repository, job))}
    prunes = [number for number, commit in commits.items()
              if commit["kind"] == "prune" and {commit["writer"], commit["appender"]} <= set(maintainers)]
    top, last = max(prunes, default=0), None
    retained = dict(commits[top]["retains"]) if top else {}
    valid = {number: commit for number, commit in commits.items() if number < top and retained.get(number) == commit["digest"]}
    for number, commit in commits.items():
        if number == top or number > top and commit["previous"] == last:
            valid[number], last = commit, commit["digest"]
            check(commit["kind"] in ("snapshot", "prune"), f"{job}/{number} needs a newer strongroom")
    return valid

class Run:
    """A run: its data key, its manifest and its frames; `listed` is what a commit says of it."""
    def __init__(self, folder, repository, job, listed, identity):
        key, manifest = read(folder / "key", 64 * KIB), read(folder / "manifest", 256 * MIB)
        for name, data in (("key", key), ("manifest", manifest)):
            check(blake3(data).hexdigest() == listed[name]["digest"], f"{folder / name} is not what the commit names")
        age = subprocess.run(["age", "-d", "-i", identity], input=key, stdout=subprocess.PIPE)
        check(age.returncode == 0 and len(age.stdout) == 32, f"{folder / 'key'} does not open with this identity")
        self.folder, self.packs, self.key = folder, {number: size for number, size, _ in listed["packs"]}, age.stdout
        self.place = b"strongroom v1" + bytes.fromhex(repository + listed["run"]), job.encode()
        check(manifest[:40] == b"SRMANIF1" + self.derive("key commitment"), f"{folder / 'manifest'} is of another key")
        padded = Reader(self.open(manifest[40:], self.derive("manifest key"), 2, 0, 0))
        encoding, length = struct.unpack("<BQ", padded.take(9))
        self.parse(decode(encoding, padded.take(length), 256 * MIB))

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
        body.end()
        # For each stream: the number of each frame's first chunk, and last of all how many chunks there are.
        self.starts = [[0, *accumulate(len(chunks) for *_, chunks in frames)] for frames in self.frames]

    @functools.lru_cache(32)
    def frame(self, stream, number):
        pack, offset, length, chunks = self.frames[stream][number]
        check(offset + length <= self.packs.get(pack, 0), "a frame lies outside of the packs that the commit names")
        sealed = read(self.folder / f"pack-{pack:06}", 64 * MIB, offset, length)
        plain = self.open(sealed, self.derive("frame key", struct.pack("<IQ", stream, number)), 1, stream, number)
        check(len(data := decode(plain[0], plain[1:], 4 * MIB).getvalue()) == sum(chunks), "a frame's chunks are not as listed")
        return [data[end - size:end] for size, end in zip(chunks, accumulate(chunks))]

    def chunk(self, stream, number):
        frame = bisect.bisect_right(self.starts[stream], number) - 1
        return self.frame(stream, frame)[number - self.starts[stream][frame]]

def parse_stream(body, origins):
    """The stream's ranges (run, stream, first, count) and groups (count, length, digest)."""
    length, count = body.varint(), body.varint()
    columns, ends, ranges = [[body.varint() for _ in range(count)] for _ in range(4)], {}, []
    for origin, first, count, _ in zip(*columns):
        first = ends.get(origin, 0) + (first >> 1 ^ -(first & 1))  # zigzag, from the end of this origin's last range
        check(first >= 0 and count > 0, "a range is absurd")
        ends[origin] = first + count
        ranges.append((*origins[origin], first, count))
    groups = body.list(lambda: (body.varint(), body.varint(), body.take(32)))
    check(length == sum(columns[3]) == sum(size for _, size, _ in groups), "ranges, groups and length disagree")
    return ranges, groups

def read_stream(runs, ranges, groups):
    """A stream's bytes, group by group; nothing is given out before its digest was found right."""
    chunks = (runs(run).chunk(stream, number) for run, stream, first, count in ranges for number in range(first, first + count))
    for count, length, digest in groups:
        check(length <= 64 * MIB, "a group is absurdly long")
        group = list(islice(chunks, min(count, length)))
        check(len(group) == count and sum(map(len, group)) == length, "a group is not as long as its chunks")
        check(blake3(b"".join(blake3(chunk).digest() for chunk in group)).digest() == digest, "a group's digest is wrong")
        yield memoryview(b"".join(group))
    check(next(chunks, None) is None, "there are chunks without a group")

def parse_catalog(catalog, count):
    """(name, attributes, fields) of each entry; a field is (key, length, digest); a blob has one, without a key."""
    last = []
    for _ in range(count):
        record = Reader(catalog.bytes())
        kind, name, attributes = record.take(1)[0], record.bytes(), record.list(lambda: (record.text(), record.bytes()))
        check(kind in (1, 2), "a kind of entry is unknown: a newer strongroom is needed")
        field = lambda: ([record.bytes()] if kind == 2 else [], record.varint(), record.take(32))
        fields = record.list(field) if kind == 2 else [field()]
        record.end()
        for names in (last + [name], [key for key, _ in attributes], [key for key, *_ in fields]):
            check(all(a < b for a, b in zip(names, names[1:])), "names are out of order")
        last = [name]
        yield name, dict(attributes), fields
    catalog.end()

def new_file(folder, parts, number):
    """Whatever an entry is called, its file is a new one below the folder."""
    escaped = [quote(part, safe="@=,:+ ") for part in parts]
    path = folder.joinpath(*({"": "%", ".": "%2E", "..": "%2E%2E"}.get(part, part) for part in escaped))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "xb")
    except OSError:  # the name is too long, or another entry's folder has it: the index says what this file is
        return open(folder / f"%{number}", "xb")

def recover(runs, manifest, folder):
    """Writes all entries below the folder, and beside them an index of what is where."""
    number, text = 0, lambda data: data.decode(errors="surrogateescape")
    index = open(folder / "%index.jsonl", "x")
    for source, _, _, incomplete, count, content, catalog in manifest.sources:
        content, rest = read_stream(runs, *content), b""
        for name, attributes, fields in parse_catalog(Reader(b"".join(read_stream(runs, *catalog))), count):
            files = []
            for key, length, digest in fields:
                number, hasher = number + 1, blake3()
                with new_file(folder, [source.encode(), *name.split(b"/"), *key], number) as file:
                    while length:
                        rest = rest or next(content)
                        part, rest = rest[:length], rest[length:]
                        length -= file.write(part)
                        hasher.update(part)
                check(hasher.digest() == digest, f"{file.name} is not what was captured")
                files.append(os.path.relpath(file.name, folder))
            line = {"source": source, "name": text(name), "files": files}
            print(json.dumps(line | {"attributes": {key: text(value) for key, value in attributes.items()}}), file=index)
        for name, reason in incomplete:
            print(json.dumps({"source": source, "name": text(name), "incomplete": reason}), file=index)
    return number

sys.excepthook = lambda kind, error, _: print(f"strongroom-recover: {kind.__name__}: {error}", file=sys.stderr)
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("repository", type=pathlib.Path)
parser.add_argument("snapshot", nargs="?", help="JOB/NUMBER")
parser.add_argument("-i", "--identity", help="the age identity file that opens it")
parser.add_argument("--trust", action="append", default=[], metavar="WRITER", help="a public key; may be repeated")
parser.add_argument("--maintainer", action="append", default=[], metavar="KEY", help="whose prunes count; may be repeated")
parser.add_argument("--to", type=pathlib.Path, metavar="DIR", help="a folder to make and to write into")
options = parser.parse_args()
head = json.loads(read(options.repository / "strongroom.json", 64 * KIB))
check((head["format"], head["version"]) == ("strongroom repository", 1), "a newer strongroom is needed")
commits = {f"{log.parent.name}/{number}": commit for log in sorted(options.repository.glob("*/log"))
           for number, commit in view(log, head["id"], log.parent.name, options.maintainer).items()}
if not options.snapshot:
    for name, commit in commits.items():
        told = {key: commit.get(key) for key in ("kind", "writer", "finished", "partial", "entries", "bytes")}
        print(json.dumps({"snapshot": name, "trusted": commit["writer"] in options.trust} | told))
else:
    commit = commits.get(options.snapshot, {"kind": "none"})
    check(commit["kind"] == "snapshot" and options.to, f"there is no valid snapshot {options.snapshot}, or no --to to write it to")
    check(commit["writer"] in options.trust, f"signed by a writer that is not trusted: --trust {commit['writer']}, if it is yours")
    os.umask(0o077)
    options.to.mkdir()
    folder, listed = options.repository / commit["job"] / "runs", {run["run"]: run for run in commit["runs"]}
    runs = functools.cache(lambda name: Run(folder / name, head["id"], commit["job"], listed[name], options.identity))
    print(f"{recover(runs, runs(commit['runs'][0]['run']), options.to)} files are written, and %index.jsonl, which says what they are")
