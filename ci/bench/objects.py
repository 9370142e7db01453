"""What a cluster holds, of the sizes that it has there: nodes and their leases, pods and their status, events, ConfigMaps."""

import uuid

from values import WORDS

NAMESPACES = 40
READY = {"node": ["MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable", "Ready"],
         "pod": ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]}


class Objects:
    """The same ones in every run; nothing of them is random but by `chance`."""

    def __init__(self, values, nodes):
        self.values, self.chance, self.nodes = values, values.random, nodes

    def id(self):
        return str(uuid.UUID(int=self.chance.getrandbits(128)))

    def digest(self):
        return f"{self.chance.getrandbits(256):064x}"

    def text(self, length):
        return self.values.text(length).decode()

    def lease(self, number, now):
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": f"node-{number}", "namespace": "kube-node-lease"},
                "spec": {"holderIdentity": f"node-{number}", "leaseDurationSeconds": 40, "renewTime": micro(now)}}

    def node(self, number, now):
        labels = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": f"node-{number}",
                  "node.kubernetes.io/instance-type": "m5.xlarge", "topology.kubernetes.io/zone": f"zone-{number % 3}"}
        room = {"cpu": "4", "memory": "16393244Ki", "pods": "58", "ephemeral-storage": "83873772Ki"}
        images = [{"names": [f"registry.internal/team-{at % 7}/app-{at}@sha256:{self.digest()}"], "sizeBytes": 10**7 * at} for at in range(25)]
        info = {"architecture": "amd64", "operatingSystem": "linux", "kernelVersion": "6.12.0", "osImage": "Debian GNU/Linux 13",
                "containerRuntimeVersion": "containerd://2.1.4", "kubeletVersion": "v1.36.3", "kubeProxyVersion": "", "bootID": self.id(),
                "machineID": f"{self.chance.getrandbits(128):032x}", "systemUUID": self.id()}
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{number}", "labels": labels},
                "spec": {"podCIDR": f"10.{number // 256}.{number % 256}.0/24"},
                "status": {"capacity": room, "allocatable": room, "images": images, "nodeInfo": info,
                           "addresses": [{"type": "InternalIP", "address": address(number)}], **self.heartbeat(now)}}

    def heartbeat(self, now):
        return {"conditions": [{"type": kind, "status": "True" if kind == "Ready" else "False", "reason": f"Kubelet{kind}", "message": f"kubelet says {kind}",
                                "lastHeartbeatTime": second(now), "lastTransitionTime": "2026-01-01T00:00:00Z"} for kind in READY["node"]]}

    def pod(self, number):
        app = f"app-{number % 150}"
        name = f"{app}-{number:05}-{self.chance.getrandbits(40):010x}"
        variables = [{"name": f"VARIABLE_{at}", "value": f"{self.chance.choice(WORDS)}-{self.chance.randrange(10_000)}"} for at in range(8)]
        probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10, "timeoutSeconds": 1}
        container = {"name": app, "image": f"registry.internal/{app}@sha256:{self.digest()}", "env": variables, "livenessProbe": probe,
                     "readinessProbe": probe, "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
                     "volumeMounts": [{"name": "config", "mountPath": "/etc/app"}, {"name": "scratch", "mountPath": "/tmp"}]}
        return {"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": self.namespace(number), "labels": {"app.kubernetes.io/name": app, "pod-template-hash": name[-10:]}},
                "spec": {"nodeName": f"node-{number % self.nodes}", "containers": [container],
                         "volumes": [{"name": "config", "configMap": {"name": f"config-{number:05}"}}, {"name": "scratch", "emptyDir": {}}]}}

    def pod_status(self, number, now, restarts):
        app = f"app-{number % 150}"
        conditions = [{"type": kind, "status": "True", "lastTransitionTime": second(now)} for kind in READY["pod"]]
        container = {"name": app, "ready": True, "started": True, "restartCount": restarts, "image": f"registry.internal/{app}",
                     "imageID": f"registry.internal/{app}@sha256:{self.digest()}", "containerID": f"containerd://{self.digest()}",
                     "state": {"running": {"startedAt": second(now)}}}
        return {"status": {"phase": "Running", "hostIP": address(number % self.nodes), "podIP": f"10.200.{number // 256}.{number % 256}",
                           "podIPs": [{"ip": f"10.200.{number // 256}.{number % 256}"}], "startTime": "2026-01-01T00:00:00Z",
                           "conditions": conditions, "containerStatuses": [container], "qosClass": "Burstable"}}

    def event(self, pod, now):
        about, reason = pod["metadata"], self.chance.choice(["Pulled", "Created", "Started", "Unhealthy", "BackOff", "Scheduled"])
        return {"apiVersion": "v1", "kind": "Event", "type": "Normal", "reason": reason, "message": self.text(self.chance.randrange(60, 300)), "count": 1,
                "metadata": {"name": f"{about['name']}.{self.chance.getrandbits(64):016x}", "namespace": about["namespace"]},
                "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": about["name"], "namespace": about["namespace"], "uid": self.id()},
                "source": {"component": "kubelet", "host": pod["spec"]["nodeName"]}, "firstTimestamp": second(now), "lastTimestamp": second(now),
                "reportingComponent": "kubelet", "reportingInstance": pod["spec"]["nodeName"]}

    def config(self, number):
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"config-{number:05}", "namespace": self.namespace(number)},
                "data": {"config.yaml": self.text(self.chance.randrange(500, 4000))}}

    def namespace(self, number):
        return f"team-{number % NAMESPACES}"


def address(number):
    return f"10.100.{number // 256}.{number % 256}"


def second(now):
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def micro(now):
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
