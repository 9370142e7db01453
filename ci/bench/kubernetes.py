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
    rows = {"bare paged LIST": [], "strongroom, first": [], "strongroom, unchanged": [], "kubectl get -o json": []}
    for _ in range(options.rounds):
        say("listing and capturing")
        rows["bare paged LIST"].append(measure(f"{bare} list"))
        ours.begin()
        rows["strongroom, first"].append(ours.back_up()[0])
        rows["strongroom, unchanged"].append(ours.back_up()[0])
        kubectl = f"kubectl --kubeconfig {kubeconfig} --cache-dir {folder}/cache get secrets -A -o json"
        rows["kubectl get -o json"].append(measure(kubectl))
    captured = {name: median(usages) for name, usages in rows.items()}
    deleted = objects[:: max(1, len(objects) // options.deleted)][: options.deleted]
    names = [(it["metadata"]["namespace"], it["metadata"]["name"]) for it in map(json.loads, deleted)]
    (folder / "deleted").write_text("\n".join(deleted))
    restored = {"bare creates": [], "strongroom restore": []}
    before = everything(folder, kubeconfig)
    for _ in range(options.rounds):
        say("deleting and restoring")
        server.delete(names)
        restored["bare creates"].append(measure(f"{bare} create {folder}/deleted"))
        server.delete(names)
        restored["strongroom restore"].append(measure(ours.restore_command()))
        check(everything(folder, kubeconfig) == before, "what was restored is not what was deleted")
    restored = {name: median(usages) for name, usages in restored.items()}
    shutil.rmtree(folder / "strongroom")
    versions = [ours_version(), "Kubernetes " + run("kube-apiserver", "--version").split()[1], etcd.version()]
    return [
        *report.heading("Kubernetes", versions),
        f"{options.secrets:,} Secrets in {NAMESPACES} namespaces, {report.megabytes(size)} MB of JSON; median of {options.rounds} rounds. "
        "Server and client share the machine. Sealed and durable, where it is strongroom.", "",
        *table(captured, "bare paged LIST"),
        f"{len(deleted):,} of them deleted and restored, 16 at a time; the API server's answer is what takes the time.", "",
        *table(restored, "bare creates"),
    ]


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
