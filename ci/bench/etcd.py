"""A real etcd 3.6, filled through its JSON gateway, and its snapshots."""

import base64
import contextlib
import http.client
import json
import os
import socket
import subprocess
import threading

from measure import check, run
from pool import at_once
from wait import wait

# etcd takes at most 128 operations and 1.5 MB in one transaction.
OPERATIONS, BYTES = 100, 700_000
# Transactions, where their order is of no account.
AT_ONCE = 8
# Seconds.
STARTS_WITHIN, ANSWERS_WITHIN = 120, 120


class Etcd:
    """A client of a running server. Each thread has a connection of its own, and keeps it."""

    def __init__(self, port):
        self.port, self.endpoint = port, f"127.0.0.1:{port}"
        self.local = threading.local()

    def ask(self, method, path, body=None):
        """The status and the bytes of an answer."""
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWERS_WITHIN)
        self.local.connection.request(method, path, body)
        answer = self.local.connection.getresponse()
        return answer.status, answer.read()

    def call(self, path, body):
        status, text = self.ask("POST", "/v3/" + path, json.dumps(body))
        check(status == 200, f"etcd: {path}: {text}")
        return json.loads(text)

    def is_healthy(self):
        try:
            return json.loads(self.ask("GET", "/health")[1]).get("health") == "true"
        except (OSError, ValueError, http.client.HTTPException):
            del self.local.connection
            return False

    def put(self, pairs, lease=None):
        """Puts (key, value) pairs, many in a transaction, and returns the bytes of the values."""
        return sum(map(self.commit, transactions(pairs, lease)))

    def put_in_any_order(self, pairs):
        """The same, with several transactions on their way."""
        return sum(at_once(AT_ONCE, self.commit, transactions(pairs)))

    def commit(self, transaction):
        operations, size = transaction
        self.call("kv/txn", {"success": operations})
        return size

    def revision(self):
        return int(self.call("kv/range", {"key": encoded(b"\0")})["header"]["revision"])

    def size(self):
        """The bytes of its database file, and so of a snapshot."""
        return int(self.call("maintenance/status", {})["dbSize"])

    def keyspace(self):
        """What tells whether two servers hold the same keys with the same history: the newest revision, and etcd's hash up to it."""
        hashed = self.call("maintenance/hashkv", {"revision": str(self.revision())})
        return {name: hashed[name] for name in ("hash", "hash_revision")}

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


def transactions(pairs, lease=None):
    """What is put in one transaction each, and the bytes of its values."""
    batch, size = [], 0
    for key, value in pairs:
        operation = {"key": encoded(key.encode()), "value": encoded(value)}
        batch.append({"request_put": operation | ({"lease": lease} if lease else {})})
        size += len(value)
        if len(batch) == OPERATIONS or size > BYTES:
            yield batch, size
            batch, size = [], 0
    if batch:
        yield batch, size


@contextlib.contextmanager
def running(folder):
    """A server of its own, with its data in `folder`, which may hold some already. It does not sync: what is measured is what reads its snapshots."""
    client, peer = free_port(), free_port()
    url = f"http://127.0.0.1:{client}"
    server = subprocess.Popen(
        ["etcd", "--data-dir", folder, "--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls",
         f"http://127.0.0.1:{peer}", "--log-level", "error", "--quota-backend-bytes", "8000000000", "--unsafe-no-fsync"],
        stderr=subprocess.DEVNULL)
    try:
        started = Etcd(client)
        wait(started.is_healthy, STARTS_WITHIN, "etcd does not start", server)
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
