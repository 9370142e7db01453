"""What a repository holds and what its snapshots refer to, read as docs/recovery/strongroom-recover.py reads it."""

import json
import pathlib

from measure import bytes_below

RECOVER = pathlib.Path(__file__).parents[2] / "docs" / "recovery" / "strongroom-recover.py"


class Repository:
    """The snapshots of the job `bench` that are there, from the oldest on."""

    def __init__(self, folder, identity):
        self.job, self.identity = folder / "bench", identity
        self.id = json.loads((folder / "strongroom.json").read_text())["id"]
        log = {path: json.loads(path.read_bytes().split(b"\n")[1]) for path in sorted((self.job / "log").iterdir())}
        snapshots = {path: commit for path, commit in log.items() if commit["kind"] == "snapshot"}
        self.paths, self.commits = list(snapshots), list(snapshots.values())
        self.commit_sizes = [path.stat().st_size for path in self.paths]
        # The script is a program; what it defines stands before what it does.
        self.recover = {}
        exec(compile(RECOVER.read_text().split("sys.excepthook")[0], RECOVER, "exec"), self.recover)

    def stored(self):
        """What lies there: runs, and the bytes of their packs and of all else."""
        packs = sum(path.stat().st_size for path in self.job.glob("runs/*/pack-*"))
        return {"runs": sum(1 for _ in (self.job / "runs").iterdir()), "packs": packs, "metadata": bytes_below(self.job) - packs}

    def metadata(self, number):
        """The bytes of a snapshot's own key, manifest, map and commit."""
        own = self.commits[number]["runs"][0]
        return {name: own[name]["size"] for name in ("key", "manifest", "map")} | {"commit": self.commit_sizes[number]}

    def referred(self, numbers):
        """What these snapshots refer to: runs, the bytes of the objects, and how much of their packs is in use."""
        runs, packs = {}, {}
        for number in numbers:
            for run in self.commits[number]["runs"]:
                runs[run["run"]] = run
                packs.setdefault(run["run"], {}).update({number: size for number, size, _ in run["packs"]})
        opened = {name: self.open(run) for name, run in runs.items()}
        used = {}
        for number in numbers:
            for source in opened[self.commits[number]["runs"][0]["run"]].sources:
                for ranges, _ in source[5:7]:
                    for run, stream, first, count, _ in ranges:
                        used.setdefault((run, stream), set()).update(range(first, first + count))
        stored = live = 0
        for (run, stream), chunks in used.items():
            sizes = [size for pack, _, _, sizes in opened[run].frames[stream] if pack in packs[run] for size in sizes]
            every = [size for *_, sizes in opened[run].frames[stream] for size in sizes]
            stored, live = stored + sum(sizes), live + sum(every[chunk] for chunk in chunks)
        metadata = sum(run[name]["size"] for run in runs.values() for name in ("key", "manifest", "map") if run.get(name))
        metadata += sum(self.commit_sizes[number] for number in numbers)
        return {"runs": len(runs), "packs": sum(sum(sizes.values()) for sizes in packs.values()), "metadata": metadata,
                "plain": stored, "live": live}

    def open(self, run):
        """Its manifest. None of its keys was rotated, and nothing was copied."""
        run = run | {"name": run["run"], "object": "key", "packs": []}
        return self.recover["Run"](self.job / "runs", self.id, "bench", run, str(self.identity))
