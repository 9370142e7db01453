"""Secrets of a real API server: captured, captured again, and restored, beside the bare protocol and kubectl."""

import json
import shutil
import sys

import cluster
import etcd
import report
from measure import check, measure, median, run, say
from tools import Strongroom

NAMESPACES = 40
LIST, FIRST, UNCHANGED, KUBECTL = "bare paged LIST", "strongroom, first", "strongroom, unchanged", "kubectl get -o json"
CREATES, RESTORE = "bare creates", "strongroom restore"
MEMORY = 128 << 20
# How many Secrets kubectl is asked for one by one.
ONE_BY_ONE = 20


class Captured(Strongroom):
    """strongroom with a job that captures a cluster."""

    def __init__(self, folder, kubeconfig):
        self.kubeconfig = kubeconfig
        super().__init__(folder, kubeconfig)

    def source(self):
        return f"kubernetes: {{kubeconfig: {self.kubeconfig}, exclude_namespaces: ['kube-*'], namespace_objects: false}}"

    def restore_command(self):
        return self.command(f"--identity {self.folder / 'identity.txt'} restore bench --yes")


def arguments(parser):
    parser.add_argument("--secrets", type=int, default=20_000)
    parser.add_argument("--deleted", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)


def measure_all(folder, options):
    with etcd.running(folder / "etcd") as store, \
            cluster.running(folder / "cluster", store, etcd.free_port()) as server:
        lines = measured(folder, server, options)
    report.write("kubernetes", lines)


def measured(folder, server, options):
    kubeconfig = server.kubeconfig()
    say(f"creating {options.secrets} Secrets")
    for number in range(NAMESPACES):
        server.call("POST", "/api/v1/namespaces", json.dumps({"metadata": {"name": f"team-{number}"}}))
    objects = list(cluster.secrets(options.secrets, NAMESPACES, 1))
    server.create(objects)
    size = server.list()
    bare = f"{sys.executable} -S {cluster.__file__} {server.folder}"
    ours = Captured(folder / "strongroom", kubeconfig)
    rows = {LIST: [], FIRST: [], UNCHANGED: [], KUBECTL: []}
    for _ in range(options.rounds):
        say("listing and capturing")
        rows[LIST].append(measure(f"{bare} list"))
        ours.begin()
        rows[FIRST].append(ours.back_up()[0])
        rows[UNCHANGED].append(ours.back_up()[0])
        kubectl = f"kubectl --kubeconfig {kubeconfig} --cache-dir {folder}/cache get secrets -A -o json"
        rows[KUBECTL].append(measure(kubectl))
    captured = {name: median(usages) for name, usages in rows.items()}
    deleted = objects[:: max(1, len(objects) // options.deleted)][: options.deleted]
    names = [(it["metadata"]["namespace"], it["metadata"]["name"]) for it in map(json.loads, deleted)]
    (folder / "deleted").write_text("\n".join(deleted))
    one_by_one = measure(by_kubectl(kubeconfig, folder, names[:ONE_BY_ONE])).wall / ONE_BY_ONE
    restored = {CREATES: [], RESTORE: []}
    before = everything(folder, kubeconfig)
    for _ in range(options.rounds):
        say("deleting and restoring")
        server.delete(names)
        restored[CREATES].append(measure(f"{bare} create {folder}/deleted"))
        server.delete(names)
        restored[RESTORE].append(measure(ours.restore_command()))
        check(everything(folder, kubeconfig) == before, "what was restored is not what was deleted")
    restored = {name: median(usages) for name, usages in restored.items()}
    shutil.rmtree(folder / "strongroom")
    versions = [ours_version(), "Kubernetes " + run("kube-apiserver", "--version").split()[1], etcd.version()]
    return [
        *report.heading("Kubernetes", versions),
        f"{options.secrets:,} Secrets in {NAMESPACES} namespaces, {report.megabytes(size)} MB of JSON; median of {options.rounds} rounds. "
        "Server and client share the machine. Sealed and durable, where it is strongroom. A loop of `kubectl get secret NAME`, as DataRobot's "
        f"documentation has it, takes {one_by_one * 1000:.0f} ms a Secret: {one_by_one * options.secrets / 60:.0f} minutes for all.", "",
        *targets(captured, restored),
        *table(captured, LIST),
        f"{len(deleted):,} of them deleted and restored, 16 at a time; the API server's answer is what takes the time.", "",
        *table(restored, CREATES),
    ]


def by_kubectl(kubeconfig, folder, names):
    get = f"kubectl --kubeconfig {kubeconfig} --cache-dir {folder}/cache get secret -o json"
    return " && ".join(f"{get} -n {namespace} {name}" for namespace, name in names)


def targets(captured, restored):
    rows = []
    for step, reach in ((FIRST, 1.5), (UNCHANGED, 1.0)):
        ratio = captured[step].wall / captured[LIST].wall
        rows.append([f"{step}, wall", f"at most {reach} of the {LIST}", f"{ratio:.2f}", report.verdict(ratio <= reach)])
    most = max(captured[step].memory for step in (FIRST, UNCHANGED))
    rows.append(["captures, memory", f"128 MiB ({report.megabytes(MEMORY)} MB)", f"{report.megabytes(most)} MB", report.verdict(most <= MEMORY)])
    rate = restored[CREATES].wall / restored[RESTORE].wall
    rows.append(["restore, objects a second", f"0.8 of {CREATES}", f"{rate:.2f}", report.verdict(rate >= 0.8)])
    return report.table(["work", "to reach", "strongroom", ""], rows)



def table(rows, base):
    lines = []
    for name, usage in rows.items():
        ratio = usage.wall / rows[base].wall
        lines.append([name, f"{usage.wall:.2f} s", f"{ratio:.2f}", f"{usage.cpu:.2f} s", f"{report.megabytes(usage.memory)} MB"])
    return report.table(["", "wall", f"to {base}", "client's processor", "memory"], lines)


def everything(folder, kubeconfig):
    """What kubectl sees, without what the server owns."""
    listed = json.loads(run("kubectl", "--kubeconfig", kubeconfig, "--cache-dir", folder / "cache", "get", "secrets", "-A", "-o", "json"))
    for item in listed["items"]:
        for owned in ("uid", "resourceVersion", "creationTimestamp"):
            del item["metadata"][owned]
    return {(it["metadata"]["namespace"], it["metadata"]["name"]): it for it in listed["items"]}


def ours_version():
    return run("strongroom", "--version").strip()
