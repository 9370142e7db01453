"""What happens in an etcd from hour to hour: the four sets on which the format was designed."""

import dataclasses

STEPS = 12
NODES, RENEWALS, EVENTS = 100, 30, 400


@dataclasses.dataclass
class Set:
    title: str
    objects: int
    lengths: range
    compacts: bool
    events: bool = False


SETS = {
    "a": Set("20,000 values of 16 KiB, 1 % rewritten an hour", 20_000, range(16_384, 16_385), False),
    "a2": Set("a, compacted", 20_000, range(16_384, 16_385), True),
    "b": Set("100,000 objects of 0.5 to 4 KB, 1 % rewritten an hour, compacted", 100_000, range(500, 4001), True),
    "c": Set(f"b with the leases of {NODES} nodes (renewed every 10 s) and {EVENTS * STEPS:,} events an hour (kept for one)", 100_000,
             range(500, 4001), True, True),
}


class Churn:
    """Fills an etcd with a set, and lives through its hours in `steps`, compacting after each as a Kubernetes API server does."""

    def __init__(self, server, kind, values, steps=STEPS):
        self.server, self.kind, self.values, self.steps = server, kind, values, steps
        self.leases = []
        self.keys = [f"/registry/secrets/team-{number % 100}/secret-{number:07}" for number in range(kind.objects)]
        server.put((key, self.value()) for key in self.keys)
        self.seen = server.revision()

    def value(self):
        return self.values.value(self.values.random.choice(self.kind.lengths))

    def hour(self):
        """Returns the bytes of the values that were written."""
        changed = self.values.sample(self.keys, 0.01)
        return sum(self.step(changed[step::self.steps]) for step in range(self.steps))

    def step(self, changed):
        total = self.server.put((key, self.value()) for key in changed)
        if self.kind.events:
            total += self.renew_leases() + self.happen()
        revision = self.server.revision()
        if self.kind.compacts and revision > self.seen:
            # What is older than one step goes.
            self.server.compact(self.seen)
            self.seen = revision
        return total

    def renew_leases(self):
        return sum(self.server.put((f"/registry/leases/kube-node-lease/node-{node}", self.values.text(400)) for node in range(NODES))
                   for _ in range(RENEWALS))

    def happen(self):
        lease = self.server.grant(3 * 3600)
        self.leases.append(lease)
        total = self.server.put(((f"/registry/events/team-{number % 100}/event-{lease}-{number}", self.values.text(900))
                                 for number in range(EVENTS)), lease)
        if len(self.leases) > self.steps:
            self.server.revoke(self.leases.pop(0))
        return total
