"""A real Kubernetes API server on an etcd of its own, and a bare client of it: no more than the protocol asks for.

Run as a program, it lists or creates Secrets and prints nothing, so that ./bench can measure it beside other programs:

    cluster.py FOLDER list          every Secret, page by page, as bytes
    cluster.py FOLDER create FILE   the objects of FILE, one JSON text a line, 16 at a time
"""

import base64
import contextlib
import http.client
import json
import pathlib
import random
import ssl
import subprocess
import sys
import threading

from pool import at_once
from wait import wait

PAGE, IN_FLIGHT = 500, 16
TOKEN = "bench"
STARTS_WITHIN = 180  # seconds


class Cluster:
    """What a client must know of a running server: it stands in the folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.port = int((self.folder / "port").read_text())
        self.trust = ssl.create_default_context(cafile=self.folder / "server.crt")
        self.local = threading.local()

    def send(self, requests):
        """Each a method, a path and a body, 16 at a time. All must succeed."""
        def one(request):
            status, said = self.call(*request)
            assert status in (200, 201), f"{request[0]} {request[1]}: {status}: {said}"
        at_once(IN_FLIGHT, one, requests)

    def call(self, method, path, body=None):
        """The status and the bytes of an answer. Each thread has a connection of its own, and keeps it."""
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.trust, timeout=120)
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json", "Content-Type": kind}
        self.local.connection.request(method, path, body, headers)
        answer = self.local.connection.getresponse()
        return answer.status, answer.read()

    def is_ready(self):
        try:
            return self.call("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            del self.local.connection
            return False

    def list(self):
        """The bytes of all pages of Secrets."""
        total, token = 0, ""
        while True:
            status, page = self.call("GET", f"/api/v1/secrets?limit={PAGE}" + (f"&continue={token}" if token else ""))
            assert status == 200, page
            total += len(page)
            # Go writes the list's metadata before its items.
            head = json.loads(page[:page.index(b',"items":')] + b"}")["metadata"]
            token = head.get("continue")
            if not token:
                return total

    def create(self, objects):
        """Secrets, as texts."""
        self.send(("POST", f"/api/v1/namespaces/{json.loads(text)['metadata']['namespace']}/secrets", text) for text in objects)

    def delete(self, names):
        """Secrets, each by namespace and name."""
        self.send(("DELETE", f"/api/v1/namespaces/{namespace}/secrets/{name}") for namespace, name in names)

    def kubeconfig(self):
        path = self.folder / "kubeconfig"
        path.write_text("apiVersion: v1\nkind: Config\ncurrent-context: c\n"
                        f"clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{self.port}', "
                        f"certificate-authority: '{self.folder}/server.crt'}}}}]\n"
                        f"users: [{{name: c, user: {{token: {TOKEN}}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: c}}}}]\n")
        return path


@contextlib.contextmanager
def running(folder, etcd, port, *flags):
    """A server with its data in `etcd`."""
    folder = pathlib.Path(folder)
    folder.mkdir()
    (folder / "port").write_text(str(port))
    (folder / "tokens.csv").write_text(f'{TOKEN},{TOKEN},{TOKEN},"system:masters"\n')
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=bench", "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "server.key", "-out",
                    folder / "server.crt"], check=True, stderr=subprocess.DEVNULL)
    log = open(folder / "log", "wb")
    server = subprocess.Popen(
        ["kube-apiserver", f"--etcd-servers=http://{etcd.endpoint}", "--bind-address=127.0.0.1", f"--secure-port={port}",
         "--advertise-address=127.0.0.1", f"--tls-cert-file={folder}/server.crt", f"--tls-private-key-file={folder}/server.key",
         f"--token-auth-file={folder}/tokens.csv", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/24",
         "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={folder}/server.crt",
         f"--service-account-signing-key-file={folder}/server.key", "--disable-admission-plugins=ServiceAccount", *flags],
        stdout=log, stderr=log)
    try:
        cluster = Cluster(folder)
        wait(cluster.is_ready, STARTS_WITHIN, "kube-apiserver does not start", server)
        yield cluster
    finally:
        server.kill()
        server.wait()


def secrets(count, namespaces, seed):
    """Secrets of some 4 kB of JSON, as texts: passwords, certificates' sizes, now and then a release of 40 kB."""
    chance = random.Random(seed)
    for number in range(count):
        yield json.dumps({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": secret_data(number, chance),
            "metadata": {"name": f"secret-{number:06}", "namespace": f"team-{number % namespaces}",
                         "labels": {"app.kubernetes.io/name": f"app-{number % 50}"}},
        })


def secret_data(number, chance):
    sizes = [24, 1200, 1700] if number % 100 else [30_000]
    return {f"key-{at}": base64.b64encode(chance.randbytes(size)).decode() for at, size in enumerate(sizes)}


if __name__ == "__main__":
    chosen = Cluster(sys.argv[1])
    if sys.argv[2] == "list":
        chosen.list()
    else:
        chosen.create(pathlib.Path(sys.argv[3]).read_text().splitlines())
