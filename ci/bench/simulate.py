"""90 days of hourly snapshots: what is stored, and what `prune` leaves under grandfather-father-son retention.

Real backups of a real etcd at a tenth of the size of set b, and real prunes, under a clock that is set from hour to hour.
"""

import dataclasses
import datetime
import json
import statistics

import etcd
import measure
import report
from churn import SETS, Churn
from clock import BEGINS, Clock, near
from measure import check, run
from repository import Repository
from tools import Strongroom
from values import Values

STEPS = 2
TIMED = DAY = 24
# How many of which periods keep their oldest snapshot.
PERIODS = {"hourly": (24, "%F %H"), "daily": (7, "%F"), "weekly": (4, "%G %V"), "monthly": (12, "%Y %m")}
RULES = ", ".join(f"{name}: {count}" for name, (count, _) in PERIODS.items())
# No snapshot, and no run, is too young to go.
AT_ONCE = "min_age: 0s, grace: 0s"
MIN_AGE = datetime.timedelta(days=7)  # if it is left out


def arguments(parser):
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--objects", type=int, default=10_000)


def measure_all(folder, options):
    kind = dataclasses.replace(SETS["b"], objects=options.objects)
    lives = [Life(), Life(daily=True), Life(daily=True, at_once=False)]
    (whole, daily, young), size = live_through(folder, kind, options.days * DAY, lives)
    version = Strongroom(folder / "version", folder).version()
    lines = report.heading(f"{options.days} days of hourly snapshots", [version, etcd.version()])
    lines += [f"{options.days * DAY:,} real backups of an etcd with {options.objects:,} objects of 0.5 to 4 KB ({report.megabytes(size)} MB), of "
              f"which 1 % are rewritten at random every hour, compacted {STEPS} times an hour: set b at {options.objects / 1000:g} % of its "
              "size. strongroom's clock is set from hour to hour, and with it the times of the files. `prune` runs under "
              f"`retention: {{{RULES}, {AT_ONCE}}}`, once after all of it or every day after the last backup; and every day without "
              f"`{AT_ONCE}`, so that all snapshots of the last 7 days stay, and all runs of the last day. It removes whole packs: what is not "
              "in use inside of one that is stays.", ""]
    head = ["", "snapshots", "runs", "packs, MB", "of these referred to, MB", "of these in use", "keys, manifests, maps, commits, MB"]
    lines += report.table(head, [
        ["never pruned", *all_row(whole)], ["pruned once, in the end", *held_row(whole["held"])], ["pruned every day", *held_row(daily["held"])],
        [f"every day, without `{AT_ONCE}`", *held_row(young["held"])],
        ["what the newest alone refers to", *newest_row(whole)]])
    own = ", ".join(f"{name} {middle / 1e3:.1f} and {most / 1e3:.1f}" for name, (middle, most) in whole["metadata"].items())
    lines += [f"The first snapshot stored {report.megabytes(whole['first'])} MB. A snapshot refers to {whole['runs_mean']:.0f} runs on "
              f"average and {whole['runs_most']} at most. Its own metadata, in KB, median and most: {own}. A backup took "
              f"{whole['cpu'][0]:.2f} CPU-seconds on the first day and {whole['cpu'][1]:.2f} on the last, when the log had "
              f"{whole['snapshots']:,} commits; {daily['cpu'][1]:.2f} where it was pruned every day. `snapshots` over all of them took "
              f"{whole['listing'].wall:.2f} s and {whole['listing'].cpu:.2f} CPU-seconds. A prune of one day took "
              f"{daily['prune'].wall:.2f} s and {daily['prune'].cpu:.2f} CPU-seconds (the median), the one of all "
              f"{whole['prune'].wall:.2f} s and {whole['prune'].cpu:.2f}. After the last one `verify --level data` found nothing amiss in "
              "any of the three.", ""]
    report.write("simulate", lines)


@dataclasses.dataclass
class Life:
    """How a repository is kept: by which program, pruned every day or once in the end, and whether what is young may go."""

    program: str = "strongroom"
    daily: bool = False
    at_once: bool = True


class Pruned(Strongroom):
    """A repository with such a life."""

    def __init__(self, folder, path, clock, life):
        self.life = life
        self.backups, self.prunes = [], []
        super().__init__(folder, path, clock.command(life.program))

    def prepare(self):
        super().prepare()
        run(*self.program.split(), "keygen", "--writer", "--output", self.folder / "maintainer.key")
        retention = f"{RULES}, {AT_ONCE}" if self.life.at_once else RULES
        with self.config.open("a") as config:
            config.write(f"maintainer_key: maintainer.key\nretention: {{{retention}}}\n")

    def open(self):
        return Repository(self.folder / "repository", self.folder / "identity.txt")

    def prune(self):
        self.prunes.append(measure.measure(self.command("prune")))

    def held(self):
        """What is stored after a prune, and what of it the snapshots that are left refer to."""
        run("bash", "-c", self.verify_command())
        repository = self.open()
        count = len(repository.commits)
        listed = json.loads(run("bash", "-c", self.command("snapshots --json")))["snapshots"]
        times = [datetime.datetime.fromisoformat(snapshot["finished"]) for snapshot in listed]
        expected = kept([BEGINS + datetime.timedelta(hours=hour) for hour in range(len(self.backups))], self.life)
        check(len(times) == len(expected) == count and all(map(near, times, expected)),
              f"of {count} snapshots in the log these are listed: {times}, and to be kept: {expected}")
        referred = repository.referred(range(count))
        held = repository.stored() | {"snapshots": count, "referred": referred}
        if self.life.at_once:
            check(held["packs"] == referred["packs"], f"of {held['packs']} bytes of packs {referred['packs']} are referred to")
        return held


def kept(times, life):
    """Of which times the snapshots stay: docs/retention.md once more, where one was taken every hour."""
    stay = {times[-1]} if life.at_once else {at for at in times if times[-1] - at < MIN_AGE}
    for count, period in PERIODS.values():
        oldest = {}
        for at in times:
            oldest.setdefault(at.strftime(period), at)
        stay.update(list(oldest.values())[-count:])
    return sorted(stay)


def live_through(folder, kind, hours, lives):
    """One result for each life, all of which have the same hours; and the size of a snapshot file."""
    (folder / "data").mkdir(parents=True)
    path = folder / "data" / "snapshot.db"
    clock = Clock(folder)
    with etcd.running(folder / "etcd") as server:
        churn = Churn(server, kind, Values(), STEPS)
        churn.hour()
        tools = [Pruned(folder / f"strongroom-{number}", path, clock, life) for number, life in enumerate(lives)]
        for hour in range(hours):
            size = server.snapshot(path)
            clock.set(hour)
            for tool in tools:
                tool.backups.append(measure.measure(tool.backup_command()))
            if hour == 0:
                check_clock(clock, tools[0].open())
            churn.hour()
            # Between two backups, so that none is as old as `min_age` says to a second.
            clock.set(hour + 0.5)
            if hour % DAY == DAY - 1:
                for tool in tools:
                    if tool.life.daily:
                        tool.prune()
                measure.say(f"day {hour // DAY + 1}: {', '.join(f'{tool.stored():,}' for tool in tools)} bytes")
    results = [pruned(tool) if tool.life.daily else whole(tool) | pruned(tool) for tool in tools]
    for tool in tools:
        tool.remove()
    return results, size


def check_clock(clock, repository):
    """Whether the first snapshot has the clock's time, in its commit and as a file's."""
    times = [datetime.datetime.fromisoformat(repository.commits[0]["finished"]),
             datetime.datetime.fromtimestamp(repository.paths[0].stat().st_mtime, datetime.UTC)]
    check(all(near(at, clock.time) for at in times), f"the clock cannot be set (a program that is linked statically?): {clock.time} is {times}")


def whole(tool):
    """Of a repository in which nothing was pruned yet."""
    repository = tool.open()
    metadata = [repository.metadata(hour) for hour in range(len(repository.commits))]
    runs = [len(commit["runs"]) for commit in repository.commits]
    added = [commit["added"] for commit in repository.commits]
    parts = {name: [sizes[name] for sizes in metadata] for name in metadata[0]}
    return {
        "snapshots": len(repository.commits), "stored": repository.stored(), "first": added[0],
        "added": statistics.mean(added[len(added) // 2:]),
        "metadata": {name: (statistics.median(sizes), max(sizes)) for name, sizes in parts.items()},
        "runs_mean": statistics.mean(runs), "runs_most": max(runs), "commit": statistics.mean(parts["commit"][len(runs) // 2:]),
        "listing": measure.measure(tool.command("snapshots --json")), "newest": repository.referred([len(repository.commits) - 1]),
    }


def pruned(tool):
    """Of one that was pruned every day, or is now."""
    if not tool.life.daily:
        tool.prune()
    cpu = [usage.cpu for usage in tool.backups]
    return {"cpu": (statistics.median(cpu[1:TIMED + 1]), statistics.median(cpu[-TIMED:])), "prune": measure.median(tool.prunes), "held": tool.held()}


def all_row(result):
    stored = result["stored"]
    return [f"{result['snapshots']:,}", f"{stored['runs']:,}", report.megabytes(stored["packs"]), "", "", report.megabytes(stored["metadata"])]


def held_row(held):
    referred = held["referred"]
    return [held["snapshots"], held["runs"], report.megabytes(held["packs"]), report.megabytes(referred["packs"]), in_use(referred),
            report.megabytes(held["metadata"])]


def newest_row(result):
    newest = result["newest"]
    return [1, newest["runs"], "", report.megabytes(newest["packs"]), in_use(newest), report.megabytes(newest["metadata"])]


def in_use(referred):
    return f"{100 * referred['live'] / referred['plain']:.0f} %"
