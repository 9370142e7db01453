"""A real etcd 3.6, filled through its JSON gateway, and its snapshots."""

import base64
import contextlib
import http.client
import json
import os
import socket
import subprocess
import time

from measure import check, run

# etcd takes at most 128 operations and 1.5 MB in one transaction.
OPERATIONS, BYTES = 100, 700_000


class Etcd:
    def __init__(self, port):
        self.endpoint = f"127.0.0.1:{port}"
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def call(self, path, body):
        self.connection.request("POST", "/v3/" + path, json.dumps(body))
        answer = self.connection.getresponse()
        text = answer.read()
        check(answer.status == 200, f"etcd: {path}: {text}")
        return json.loads(text)

    def put(self, pairs, lease=None):
        """Puts (key, value) pairs, many in a transaction, and returns the bytes of the values."""
        total, batch, size = 0, [], 0
        for key, value in pairs:
            operation = {"key": encoded(key.encode()), "value": encoded(value)}
            batch.append({"request_put": operation | ({"lease": lease} if lease else {})})
            size, total = size + len(value), total + len(value)
            if len(batch) == OPERATIONS or size > BYTES:
                self.call("kv/txn", {"success": batch})
                batch, size = [], 0
        if batch:
            self.call("kv/txn", {"success": batch})
        return total

    def revision(self):
        return int(self.call("kv/range", {"key": encoded(b"\0")})["header"]["revision"])

    def size(self):
        """The bytes of its database file, and so of a snapshot."""
        return int(self.call("maintenance/status", {})["dbSize"])

    def compact(self, revision):
        """Forgets what was overwritten before `revision`, and returns when that is done."""
        self.call("kv/compaction", {"revision": str(revision), "physical": True})

    def grant(self, seconds):
        return self.call("lease/grant", {"TTL": str(seconds)})["ID"]

    def revoke(self, lease):
        self.call("lease/revoke", {"ID": lease})

    def snapshot(self, path):
        """Writes a snapshot in place of the file that is there, and returns its size."""
        run("etcdctl", "--endpoints", self.endpoint, "snapshot", "save", f"{path}.new")
        os.replace(f"{path}.new", path)
        return os.path.getsize(path)


@contextlib.contextmanager
def running(folder):
    """A server of its own, with its data in `folder`. It does not sync: what is measured is what reads its snapshots."""
    client, peer = free_port(), free_port()
    url = f"http://127.0.0.1:{client}"
    server = subprocess.Popen(
        ["etcd", "--data-dir", folder, "--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls",
         f"http://127.0.0.1:{peer}", "--log-level", "error", "--quota-backend-bytes", "8000000000", "--unsafe-no-fsync"],
        stderr=subprocess.DEVNULL)
    try:
        started = Etcd(client)
        for _ in range(300):
            with contextlib.suppress(OSError, http.client.HTTPException):
                started.connection.close()
                started.connection.request("GET", "/health")
                if json.loads(started.connection.getresponse().read()).get("health") == "true":
                    break
            time.sleep(0.1)
        yield started
    finally:
        server.kill()
        server.wait()


def version():
    return run("etcd", "--version").splitlines()[0].replace(" Version:", "")


def encoded(data):
    return base64.b64encode(data).decode()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
