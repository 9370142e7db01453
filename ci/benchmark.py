#!/usr/bin/env python3
"""Called by ./bench: makes an etcd and a folder of small files, backs both up with several tools, and writes a table.

Each tool does the whole way: from the running etcd, or the folder, to its repository, and back to a file or a folder. Every
restore is compared with the original; a tool that gives back something else ends the run.
"""

import argparse
import contextlib
import datetime
import filecmp
import os
import pathlib
import platform
import random
import socket
import string
import subprocess
import sys
import tempfile
import time

ENVIRONMENT = dict(os.environ, ETCDCTL_API="3", RESTIC_PASSWORD="benchmark", RESTIC_PROGRESS_FPS="0.1")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256, help="MB of values in etcd")
    parser.add_argument("--files", type=int, default=20_000, help="how many small files")
    parser.add_argument("--report", type=pathlib.Path, required=True)
    options = parser.parse_args()
    random.seed(1)
    with tempfile.TemporaryDirectory(prefix="strongroom-bench.") as folder:
        os.chdir(folder)
        ENVIRONMENT["RESTIC_CACHE_DIR"] = os.path.join(folder, "restic-cache")
        run("age-keygen", "-o", "identity.txt")
        pathlib.Path("recipient.txt").write_text(run("age-keygen", "-y", "identity.txt"))
        rows = benchmark_etcd(options.size) + benchmark_files(options.files)
    report = render(rows, options)
    print(report)
    options.report.write_text(report)


# ---- What is measured.

def benchmark_etcd(megabytes):
    with etcd() as endpoint:
        ENVIRONMENT["ETCDCTL_ENDPOINTS"] = endpoint
        keys = fill_etcd(megabytes)
        tools = [
            Strongroom("etcd-strongroom", f'etcd: {{endpoints: ["{endpoint}"]}}', ["--to", "restored"], "restored"),
            Restic("etcd-restic", ["snapshot.db"], "etcdctl snapshot save snapshot.db", "restored/snapshot.db"),
            Pipe("etcd-pipe", "etcdctl snapshot save snapshot.db >&2 && cat snapshot.db", "cat > restored", "restored"),
        ]
        what = f"etcd, {megabytes} MB in {len(keys):,} keys"
        rows = [tool.back_up(what, "first snapshot") for tool in tools]
        put(random.sample(keys, max(1, len(keys) // 100)))
        rows += [tool.back_up(what, "later, 1 % of keys rewritten") for tool in tools]
        rows += [tool.restore(what) for tool in tools]
        # Two snapshots of one state need not be the same file; what etcd says of their content must be the same.
        expected = run("etcdctl", "snapshot", "status", "snapshot.db")
        for tool in tools:
            check(run("etcdctl", "snapshot", "status", tool.restored) == expected, f"{tool.name} gave back another etcd")
        return rows


def benchmark_files(count):
    names = fill_folder(count)
    tools = [
        Strongroom("files-strongroom", 'files: {paths: ["secrets"]}', ["--to", "restored"], "restored"),
        Restic("files-restic", ["secrets"], "true", "restored/secrets"),
        Pipe("files-pipe", "tar -cf - secrets", "mkdir restored && tar -xf - -C restored", "restored/secrets"),
    ]
    what = f"{count:,} files of 0.5 to 8 KiB"
    rows = [tool.back_up(what, "first snapshot") for tool in tools]
    for name in random.sample(names, max(1, count // 100)):
        write_file(name)
    rows += [tool.back_up(what, "later, 1 % of files rewritten") for tool in tools]
    rows += [tool.restore(what) for tool in tools]
    for tool in tools:
        check(same_files("secrets", find_folder(tool.restored)), f"{tool.name} gave back other files")
    return rows


# ---- The tools. Each works in a folder of its own beside the data.

class Tool:
    title = ""

    def __init__(self, name, restored):
        self.name, self.restored = name, os.path.join(name, restored)
        os.mkdir(name)

    def stored(self):
        return sum(path.stat().st_size for path in pathlib.Path(self.name, "repository").rglob("*") if path.is_file())

    def back_up(self, what, step):
        before = self.stored()
        row = self.measured(what, step, self.back_up_command())
        return row | {"stored": self.stored() - before}

    def restore(self, what):
        return self.measured(what, "restore", self.restore_command())

    def measured(self, what, step, command):
        print(f"{what}: {step}: {self.title}", file=sys.stderr)
        return {"what": what, "step": step, "tool": self.title} | measure(command)


class Strongroom(Tool):
    title = "strongroom"

    def __init__(self, name, source, to, restored):
        super().__init__(name, restored)
        self.to = f"--to {name}/{to[1]}"
        writer = f"{name}/writer.key"
        run("strongroom", "keygen", "--writer", "--output", writer)
        recipient = pathlib.Path("recipient.txt").read_text().strip()
        self.config = f"{name}/strongroom.yaml"
        pathlib.Path(self.config).write_text(
            f"repository: repository\nrecipients: [{recipient}]\nwriter_key: writer.key\n"
            f"jobs:\n  bench:\n    sources:\n      - {source.replace('secrets', os.path.abspath('secrets'))}\n"
        )
        run("strongroom", "--config", self.config, "init")

    def back_up_command(self):
        return f"strongroom --quiet --config {self.config} backup"

    def restore_command(self):
        return f"strongroom --quiet --config {self.config} --identity identity.txt restore bench {self.to} --yes"


class Restic(Tool):
    title = "restic"

    def __init__(self, name, paths, prepare, restored):
        super().__init__(name, restored)
        self.paths, self.prepare = " ".join(paths), prepare
        run("restic", "init", "--repo", f"{name}/repository")

    def back_up_command(self):
        return f"{self.prepare} >&2 && restic --repo {self.name}/repository backup --quiet {self.paths}"

    def restore_command(self):
        return f"restic --repo {self.name}/repository restore latest --quiet --target {self.name}/restored"


class Pipe(Tool):
    title = "zstd -1 | age"

    def __init__(self, name, produce, consume, restored):
        super().__init__(name, restored)
        self.produce, self.consume, self.number = produce, consume, 0
        os.mkdir(f"{name}/repository")

    def back_up_command(self):
        self.number += 1
        return f"({self.produce}) | zstd -1 -T0 -q | age -R recipient.txt > {self.name}/repository/{self.number}"

    def restore_command(self):
        return f"age -d -i identity.txt {self.name}/repository/{self.number} | zstd -d -q | (cd {self.name} && {self.consume})"


# ---- Measuring.

def measure(command):
    """Wall and processor time, and the largest process, of a shell command that must succeed."""
    began = time.monotonic()
    process = subprocess.Popen(["bash", "-o", "pipefail", "-c", command], env=ENVIRONMENT, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    check(status == 0, f"failed: {command}\n{errors.decode(errors='replace')}")
    return {"wall": time.monotonic() - began, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss * 1024}


def render(rows, options):
    versions = [run(*command).splitlines()[0] for command in
                (["strongroom", "--version"], ["restic", "version"], ["zstd", "--version"], ["etcd", "--version"])]
    versions.append("age " + run("age", "--version").strip())
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    lines = [
        "# Benchmarks", "",
        f"By `./bench --size {options.size} --files {options.files}` on {datetime.date.today()}: {os.cpu_count()} × {cpu}, "
        f"Linux {platform.release()}, everything on one local disk. Versions: {', '.join(versions)}.", "",
        "Each line is one run from the live source to the repository, or back; *memory* is the largest process, *stored* what the",
        "repository grew by. restic and strongroom encrypt and deduplicate; the pipe stores everything every time. Every restore was",
        "compared with the original.", "",
        "| what | step | tool | wall | CPU | memory | stored |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        stored = f"{row['stored'] / 1e6:.2f} MB" if "stored" in row else ""
        lines.append(f"| {row['what']} | {row['step']} | {row['tool'].replace('|', '/')} | {row['wall']:.2f} s | {row['cpu']:.2f} s "
                     f"| {row['memory'] / 1e6:.0f} MB | {stored} |")
    return "\n".join(lines) + "\n"


# ---- The data.

@contextlib.contextmanager
def etcd():
    client, peer = free_port(), free_port()
    endpoint = f"http://127.0.0.1:{client}"
    server = subprocess.Popen(
        ["etcd", "--data-dir", "etcd", "--listen-client-urls", endpoint, "--advertise-client-urls", endpoint, "--listen-peer-urls",
         f"http://127.0.0.1:{peer}", "--log-level", "error", "--logger", "zap", "--quota-backend-bytes", "8000000000"])
    try:
        ENVIRONMENT["ETCDCTL_ENDPOINTS"] = endpoint
        for _ in range(100):
            if subprocess.run(["etcdctl", "endpoint", "health"], env=ENVIRONMENT, capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        yield endpoint
    finally:
        server.kill()
        server.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fill_etcd(megabytes):
    """Objects of 0.5 to 8 KB, as Kubernetes has them."""
    count = megabytes * 1_000_000 // 4250
    keys = [f"/registry/secrets/team-{number % 100}/secret-{number:07}" for number in range(count)]
    put(keys)
    return keys


def put(keys):
    for start in range(0, len(keys), 100):
        puts = "".join(f"put {key} {value()}\n" for key in keys[start:start + 100])
        run("etcdctl", "txn", input=f"\n{puts}\n\n")


def value():
    """Text of which a part is random, a part repeats, as secrets in YAML do."""
    length = random.randint(500, 8000)
    return "".join(random.choices(string.ascii_letters + string.digits, k=length // 2)) + "abcdefgh" * (length // 16)


def fill_folder(count):
    names = [f"secrets/team-{number % 200}/secret-{number}" for number in range(count)]
    for number in range(min(count, 200)):
        os.makedirs(f"secrets/team-{number}")
    for name in names:
        write_file(name)
    return names


def write_file(name):
    pathlib.Path(name).write_text(value())


def find_folder(path):
    """The folder `secrets`, wherever below the path a tool has put it."""
    return next(str(found) for found in [pathlib.Path(path), *pathlib.Path(path).rglob("*")] if any(found.glob("team-0")))


def same_files(one, other):
    names = sorted(str(path.relative_to(one)) for path in pathlib.Path(one).rglob("*") if path.is_file())
    found = sorted(str(path.relative_to(other)) for path in pathlib.Path(other).rglob("*") if path.is_file())
    return names == found and filecmp.cmpfiles(one, other, names, shallow=False)[0] == names


def run(*command, **keywords):
    done = subprocess.run(command, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **keywords)
    check(done.returncode == 0, f"failed: {' '.join(command)}\n{done.stderr}")
    return done.stdout


def check(holds, otherwise):
    if not holds:
        sys.exit(f"bench: {otherwise}")


if __name__ == "__main__":
    main()
