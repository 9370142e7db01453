"""A client of Kubernetes as client-go's reflector is one: lists, then watches, and believes what it was told. Has none of strongroom's code.

    watcher.py seed URL AUTHORITY COUNT   COUNT objects, half of them Secrets, in the namespace `drill`
    watcher.py later URL AUTHORITY        what happens after the snapshot: objects are made, changed and deleted
    watcher.py watch URL AUTHORITY FILE   keeps what it knows in FILE, until FILE.stop is there
    watcher.py see URL AUTHORITY          what a fresh list says, in the same form
"""

import base64
import concurrent.futures
import http.client
import json
import os
import socket
import ssl
import sys
import threading
import time
import urllib.parse

KINDS = ["secrets", "configmaps"]


class Api:
    def __init__(self, url, authority):
        self.place = urllib.parse.urlparse(url)
        self.trust = ssl.create_default_context(cafile=authority)
        self.local = threading.local()

    def connect(self, timeout):
        return http.client.HTTPSConnection(self.place.hostname, self.place.port, context=self.trust, timeout=timeout)

    def call(self, method, path, body=None):
        if not hasattr(self.local, "connection"):
            self.local.connection = self.connect(60)
        try:
            self.local.connection.request(method, path, body and json.dumps(body), self.headers())
            answer = self.local.connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            del self.local.connection
            raise

    @staticmethod
    def headers():
        return {"Authorization": "Bearer admin", "Accept": "application/json", "Content-Type": "application/json"}

    def must(self, *call):
        status, said = self.call(*call)
        assert status in (200, 201), said
        return said


def path(kind, name=""):
    return f"/api/v1/namespaces/drill/{kind}" + (f"/{name}" if name else "")


def thing(kind, name, value):
    body = {"apiVersion": "v1", "metadata": {"name": name}}
    if kind == "secrets":
        return body | {"kind": "Secret", "data": {"k": base64.b64encode(value.encode()).decode()}}
    return body | {"kind": "ConfigMap", "data": {"k": value}}


def seed(url, authority, count):
    api = Api(url, authority)
    api.must("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "drill"}})
    wanted = [(KINDS[number % 2], f"o-{number:05}") for number in range(int(count))]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda it: api.must("POST", path(it[0]), thing(*it, "first")), wanted))


def later(url, authority):
    api = Api(url, authority)
    for kind in KINDS:
        names = sorted(it["metadata"]["name"] for it in api.must("GET", path(kind))["items"] if it["metadata"]["name"].startswith("o-"))
        for name in names[:20]:
            api.must("PUT", path(kind, name), thing(kind, name, "from the future"))
        for name in names[20:40]:
            api.must("DELETE", path(kind, name))
        for number in range(50):
            api.must("POST", path(kind), thing(kind, f"future-{number}", "from the future"))


def known(it):
    return [it["metadata"]["resourceVersion"], it["metadata"]["uid"], it.get("data")]


class Watcher(threading.Thread):
    def __init__(self, api, kind, lock, say):
        super().__init__(daemon=True)
        self.api, self.kind, self.lock, self.say = api, kind, lock, say
        self.objects, self.version, self.lists = {}, None, 0

    def run(self):
        while True:
            try:
                if self.version is None:
                    self.list()
                self.watch()
            except (OSError, http.client.HTTPException, ValueError, AssertionError):
                time.sleep(0.1)

    def list(self):
        said = self.api.must("GET", path(self.kind))
        with self.lock:
            self.objects = {it["metadata"]["name"]: known(it) for it in said["items"]}
            self.version, self.lists = said["metadata"]["resourceVersion"], self.lists + 1
            self.say()

    def watch(self):
        connection = self.api.connect(30)
        try:
            where = f"{path(self.kind)}?watch=1&allowWatchBookmarks=true&resourceVersion={self.version}"
            connection.request("GET", where, None, Api.headers())
            answer = connection.getresponse()
            if answer.status == 410:
                self.version = None
                return
            assert answer.status == 200, answer.status
            while line := answer.readline():
                if not self.take(json.loads(line)):
                    return
        finally:
            connection.close()

    def take(self, event):
        it = event["object"]
        if event["type"] == "ERROR":
            # Too old: what is known is worth nothing, and is asked for again.
            if it.get("code") == 410:
                self.version = None
            return False
        with self.lock:
            self.version = it["metadata"]["resourceVersion"]
            if event["type"] == "DELETED":
                self.objects.pop(it["metadata"]["name"], None)
            elif event["type"] != "BOOKMARK":
                self.objects[it["metadata"]["name"]] = known(it)
            self.say()
        return True


def watch(url, authority, file):
    lock, watchers = threading.Lock(), []

    def say():
        state = {it.kind: {"objects": it.objects, "version": it.version, "lists": it.lists} for it in watchers}
        with open(file + ".new", "w") as out:
            json.dump(state, out)
        os.replace(file + ".new", file)

    watchers += [Watcher(Api(url, authority), kind, lock, say) for kind in KINDS]
    for it in watchers:
        it.start()
    while not os.path.exists(file + ".stop"):
        time.sleep(0.05)


def see(url, authority):
    api = Api(url, authority)
    lists = {kind: api.must("GET", path(kind))["items"] for kind in KINDS}
    json.dump({kind: {"objects": {it["metadata"]["name"]: known(it) for it in items}} for kind, items in lists.items()}, sys.stdout)


if __name__ == "__main__":
    socket.setdefaulttimeout(60)
    globals()[sys.argv[1]](*sys.argv[2:])
