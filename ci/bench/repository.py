"""What a repository holds and what a choice of its snapshots refers to, read as docs/recovery/strongroom-recover.py reads it."""

import json
import pathlib

RECOVER = pathlib.Path(__file__).parents[2] / "docs" / "recovery" / "strongroom-recover.py"
# (hours in a period, how many of the newest periods keep their oldest snapshot)
RETENTION = [(1, 24), (24, 7), (7 * 24, 4), (30 * 24, 12)]


class Repository:
    """The snapshots of the job `bench`, by hour. Nothing was ever pruned in it."""

    def __init__(self, folder, identity):
        self.folder, self.identity = folder / "bench" / "runs", identity
        self.id = json.loads((folder / "strongroom.json").read_text())["id"]
        paths = sorted((folder / "bench" / "log").iterdir())
        self.commits = [json.loads(path.read_bytes().split(b"\n")[1]) for path in paths]
        self.commit_sizes = [path.stat().st_size for path in paths]
        # The script is a program; what it defines stands before what it does.
        self.recover = {}
        exec(compile(RECOVER.read_text().split("sys.excepthook")[0], RECOVER, "exec"), self.recover)

    def retained(self):
        """The hours that stay under RETENTION; and the newest."""
        hours = range(len(self.commits))
        kept = {hours[-1]}
        for period, count in RETENTION:
            oldest = {}
            for hour in hours:
                oldest.setdefault(hour // period, hour)
            kept.update(sorted(oldest.values())[-count:])
        return sorted(kept)

    def metadata(self, hour):
        """The bytes of a snapshot's own key, manifest, map and commit."""
        own = self.commits[hour]["runs"][0]
        return {name: own[name]["size"] for name in ("key", "manifest", "map")} | {"commit": self.commit_sizes[hour]}

    def referred(self, hours):
        """What the snapshots of these hours refer to: runs, the bytes of the objects, and how much of their packs is in use."""
        runs, packs = {}, {}
        for hour in hours:
            for run in self.commits[hour]["runs"]:
                runs[run["run"]] = run
                packs.setdefault(run["run"], {}).update({number: size for number, size, _ in run["packs"]})
        opened = {name: self.open(run | {"packs": []}) for name, run in runs.items()}
        used = {}
        for hour in hours:
            for source in opened[self.commits[hour]["runs"][0]["run"]].sources:
                for ranges, _ in source[5:7]:
                    for run, stream, first, count, _ in ranges:
                        used.setdefault((run, stream), set()).update(range(first, first + count))
        stored = live = 0
        for (run, stream), chunks in used.items():
            sizes = [size for pack, _, _, sizes in opened[run].frames[stream] if pack in packs[run] for size in sizes]
            every = [size for *_, sizes in opened[run].frames[stream] for size in sizes]
            stored, live = stored + sum(sizes), live + sum(every[chunk] for chunk in chunks)
        metadata = sum(run[name]["size"] for run in runs.values() for name in ("key", "manifest", "map") if run.get(name))
        metadata += sum(self.commit_sizes[hour] for hour in hours)
        return {"runs": len(runs), "packs": sum(sum(sizes.values()) for sizes in packs.values()), "metadata": metadata,
                "plain": stored, "live": live}

    def open(self, run):
        return self.recover["Run"](self.folder / run["run"], self.id, "bench", run, str(self.identity))
