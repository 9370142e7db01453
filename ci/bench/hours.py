"""Bytes that each later snapshot of a Kubernetes cluster's etcd adds: a real API server writes all day, strongroom and restic capture.

Everything that a backup adds to the repository counts, as in `sets`; here it is the API server that says what an hour writes, and how.
"""

import collections
import datetime
import json

import cluster
import etcd
import report
import sets
from measure import run, say
from objects import NAMESPACES, Objects
from values import Values

NODES, PODS, SECRETS, CONFIGS = 200, 2_000, 3_000, 2_000
# In an hour; in each step the leases of all nodes are renewed so often, and this happens.
STEPS, RENEWALS, STATUSES, EVENTS = 6, 2, 100, 100
SHARE = 0.01
CORE = "/api/v1/namespaces"


def arguments(parser):
    parser.add_argument("--hours", type=int, default=24, help="later snapshots")
    parser.add_argument("--part", type=int, default=1, help="the cluster at this part of its size")


def measure_all(folder, options):
    with etcd.running(folder / "etcd") as store, \
            cluster.running(folder / "cluster", store, etcd.free_port(), "--etcd-compaction-interval=0") as server:
        say(f"making a cluster of {NODES // options.part} nodes")
        result = sets.live_through(folder, "cluster", store, Day(server, store, options.part), options.hours)
    kubernetes = "Kubernetes " + run("kube-apiserver", "--version").split()[1]
    report.write("cluster-hours", [*report.heading("A Kubernetes cluster by the hour", [*result["versions"], kubernetes, etcd.version()]),
                                   *text(options, result), *table(result)])


class Day:
    """Fills a cluster, and lives through its hours. After each step etcd is compacted up to the one before, as an API server does it."""

    def __init__(self, server, store, part):
        self.server, self.store, self.values = server, store, Values()
        self.chance = self.values.random
        self.nodes, self.secrets, self.configs = (range(count // part) for count in (NODES, SECRETS, CONFIGS))
        self.statuses, self.happening = STATUSES // part, EVENTS // part
        self.objects = Objects(self.values, len(self.nodes))
        self.now = datetime.datetime(2026, 1, 1)
        self.pods = [self.objects.pod(number) for number in range(PODS // part)]
        self.events = collections.deque()
        self.fill()
        self.seen = store.revision()

    def fill(self):
        for name in ["kube-node-lease", *map(self.objects.namespace, range(NAMESPACES))]:
            # The API server makes the first of them too, when it gets to it.
            status, said = self.server.call("POST", CORE, json.dumps({"metadata": {"name": name}}))
            assert status in (201, 409), said
        objects = self.objects
        self.create("/api/v1/nodes", (objects.node(number, self.moment()) for number in self.nodes))
        self.create("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", (objects.lease(number, self.moment()) for number in self.nodes))
        self.create(f"{CORE}/{{}}/configmaps", map(objects.config, self.configs))
        self.server.create(cluster.secrets(len(self.secrets), NAMESPACES, 1))
        self.create(f"{CORE}/{{}}/pods", self.pods)
        self.server.send(self.status(number, 0) for number in range(len(self.pods)))

    def create(self, path, objects):
        self.server.send(("POST", path.format(it["metadata"].get("namespace")), json.dumps(it)) for it in objects)

    def hour(self):
        """Returns how many writes etcd saw."""
        before = self.store.revision()
        secrets, configs = (self.values.sample(of, SHARE) for of in (self.secrets, self.configs))
        for step in range(STEPS):
            self.now += datetime.timedelta(hours=1) / STEPS
            for _ in range(RENEWALS):
                self.server.send(map(self.renewal, self.nodes))
            self.server.send(map(self.heartbeat, self.nodes))
            self.server.send(self.status(number, self.chance.randrange(10)) for number in self.chance.sample(range(len(self.pods)), self.statuses))
            self.happen()
            self.server.send(map(self.other_secret, secrets[step::STEPS]))
            self.server.send(map(self.other_config, configs[step::STEPS]))
            self.store.compact(self.seen)
            self.seen = self.store.revision()
        return self.seen - before

    def happen(self):
        """Events, each of which is there for an hour. (The API server has etcd's leases for that; here time passes faster than theirs.)"""
        events = [self.objects.event(self.chance.choice(self.pods), self.moment()) for _ in range(self.happening)]
        self.create(f"{CORE}/{{}}/events", events)
        self.events.append([f"{CORE}/{it['metadata']['namespace']}/events/{it['metadata']['name']}" for it in events])
        if len(self.events) > STEPS:
            self.server.send(("DELETE", path) for path in self.events.popleft())

    def renewal(self, number):
        path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-{number}"
        return "PATCH", path, json.dumps({"spec": self.objects.lease(number, self.moment())["spec"]})

    def heartbeat(self, number):
        return "PATCH", f"/api/v1/nodes/node-{number}/status", json.dumps({"status": self.objects.heartbeat(self.moment())})

    def status(self, number, restarts):
        pod = self.pods[number]["metadata"]
        status = self.objects.pod_status(number, self.moment(), restarts)
        return "PATCH", f"{CORE}/{pod['namespace']}/pods/{pod['name']}/status", json.dumps(status)

    def other_secret(self, number):
        path = f"{CORE}/{self.objects.namespace(number)}/secrets/secret-{number:06}"
        return "PATCH", path, json.dumps({"data": cluster.secret_data(number, self.chance)})

    def other_config(self, number):
        config = self.objects.config(number)
        return "PATCH", f"{CORE}/{config['metadata']['namespace']}/configmaps/{config['metadata']['name']}", json.dumps({"data": config["data"]})

    def moment(self):
        return self.now + datetime.timedelta(seconds=self.chance.random() * 600)


def text(options, result):
    nodes, pods, secrets, configs, statuses, events = (count // options.part for count in (NODES, PODS, SECRETS, CONFIGS, STATUSES, EVENTS))
    return [
        f"{nodes} nodes, {pods:,} pods, {secrets:,} Secrets of some 3 KB, {configs:,} ConfigMaps of 0.5 to 4 KB, behind a real API server, which makes all "
        f"of the writes. In an hour: each node's lease is renewed {STEPS * RENEWALS} times and its status {STEPS} times, {STEPS * statuses} "
        f"pods have another status, {STEPS * events} events are written and as many deleted, which are an hour old; 1 % of Secrets and "
        f"ConfigMaps have other contents; and {STEPS} times what is older than the time before is compacted away, as the API server does it "
        f"({result['changed']:,.0f} revisions of etcd). A snapshot of etcd before, and one after each of {options.hours} hours: restic "
        f"and strongroom back up the same file, of {report.megabytes(result['sizes'][0])} MB at first and {report.megabytes(result['sizes'][-1])} MB "
        "at last. The last one is restored by both and compared, and every one read again from strongroom and compared.", ""]


def table(result):
    def row(title, figures, shown):
        ours, restic = figures
        return [title, shown(ours), shown(restic), f"{ours / restic:.3f}"]

    def megabytes(count):
        return f"{count / 1e6:.2f} MB"

    rows = [row("first snapshot", result["first"], megabytes), row("added by a later one, mean", result["added"], megabytes),
            row("added by a later one, the most", result["most"], megabytes), row("CPU of a later one", result["cpu"], lambda it: f"{it:.2f} s")]
    return report.table(["", "strongroom", "restic", "ratio"], rows)
