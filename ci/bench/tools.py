"""The tools that are compared. Each has a folder of its own, with its repository in it."""

import os
import pathlib
import shutil

from measure import bytes_below, measure, run


class Tool:
    """`path` is what it backs up, a file or a folder."""

    title = ""

    def __init__(self, folder, path):
        self.folder, self.path = pathlib.Path(folder), os.path.abspath(path)
        self.begin()

    def begin(self):
        """An empty repository, in place of the one that is there."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.restores = 0
        self.prepare()

    def back_up(self):
        """What a backup used, and by how many bytes the repository grew."""
        before = self.stored()
        usage = measure(self.backup_command())
        return usage, self.stored() - before

    def restore(self):
        """What a restore of the newest snapshot used. `restored` finds what it wrote.

        What earlier ones wrote stays: where 20,000 files were just deleted, ext4 spends seconds on finding numbers for new
        ones (fs/ext4/ialloc.c, recently_deleted), whoever makes them.
        """
        self.restores += 1
        self.target = self.folder / f"restored-{self.restores}"
        return measure(self.restore_command())

    def restored(self):
        name = os.path.basename(self.path)
        return next(found for found in self.target.rglob(name))

    def remove(self):
        shutil.rmtree(self.folder)

    def stored(self):
        return bytes_below(self.folder / "repository")


class Strongroom(Tool):
    """`program` may be preceded by words that set its environment."""

    title = "strongroom"

    def __init__(self, folder, path, program="strongroom"):
        self.program = program
        super().__init__(folder, path)

    def prepare(self):
        run("age-keygen", "-o", self.folder / "identity.txt")
        run(*self.program.split(), "keygen", "--writer", "--output", self.folder / "writer.key")
        recipient = run("age-keygen", "-y", self.folder / "identity.txt").strip()
        self.config = self.folder / "strongroom.yaml"
        self.config.write_text(f"repository: {self.place()}\ncache: cache\nrecipients: [{recipient}]\nwriter_key: writer.key\n"
                               f"jobs:\n  bench:\n    sources:\n      - {self.source()}\n")
        run(*self.program.split(), "--config", self.config, "init")

    def place(self):
        """What the configuration says of the repository."""
        return "repository"

    def source(self):
        """What it says of the job's source."""
        return f"files: {{paths: [{self.path}]}}"

    def command(self, rest):
        return f"{self.program} --quiet --config {self.config} {rest}"

    def backup_command(self):
        return self.command("backup")

    def restore_command(self):
        return self.command(f"--identity {self.folder / 'identity.txt'} restore bench --to {self.target} --yes")

    def read_command(self, path, snapshot="bench"):
        return self.command(f"--identity {self.folder / 'identity.txt'} cat {snapshot} {path}")

    def verify_command(self):
        return self.command("verify --level data")

    def version(self):
        return run(*self.program.split(), "--version").strip()


class Restic(Tool):
    def __init__(self, folder, path, program="restic"):
        self.program = program
        self.title = " ".join(run(program, "version").split()[:2])
        super().__init__(folder, path)

    def prepare(self):
        run("bash", "-c", self.command("init"))

    def command(self, rest):
        return (f"RESTIC_PASSWORD=benchmark {self.program} --cache-dir {self.folder}/cache --repo {self.folder}/repository "
                f"--quiet {rest}")

    def backup_command(self):
        return self.command(f"backup {self.path}")

    def restore_command(self):
        return self.command(f"restore latest --target {self.target}")

    def read_command(self, path):
        return self.command(f"dump latest {path}")

    def verify_command(self):
        return self.command("check --read-data")

    def version(self):
        return self.title


class Pipe(Tool):
    """No repository: a file for each backup."""

    title = "zstd -1 / age"

    def prepare(self):
        (self.folder / "repository").mkdir()
        run("age-keygen", "-o", self.folder / "identity.txt")
        (self.folder / "recipient.txt").write_text(run("age-keygen", "-y", self.folder / "identity.txt"))
        self.number = 0

    def backup_command(self):
        self.number += 1
        parent, name = os.path.split(self.path)
        source = f"tar -cf - -C {parent} {name} | zstd -1 -q" if os.path.isdir(self.path) else f"zstd -1 -q -c {self.path}"
        return f"{source} | age -R {self.folder}/recipient.txt > {self.folder}/repository/{self.number}"

    def restore_command(self):
        to = self.target
        sink = f"tar -xf - -C {to}" if os.path.isdir(self.path) else f"cat > {to}/{os.path.basename(self.path)}"
        return f"mkdir {to} && age -d -i {self.folder}/identity.txt {self.folder}/repository/{self.number} | zstd -d -q | {sink}"

    def version(self):
        return f"zstd {run('zstd', '--version').split('v')[-1].split(',')[0]}, age {run('age', '--version').strip()}"
