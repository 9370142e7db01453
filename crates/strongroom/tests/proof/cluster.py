"""Fills a cluster with Secrets made to hurt, and says what kubectl sees of it. Has none of strongroom's code.

    cluster.py seed URL AUTHORITY COUNT     COUNT Secrets, and what else namespaces hold, over the bare API as the user `admin`
    cluster.py lose URL AUTHORITY           deletes the namespaces, and waits until they are gone
    cluster.py see KUBECTL KUBECONFIG FILE  what is there, object by object, into FILE
    cluster.py same BEFORE AFTER [A=B ...]  compares two such files, of which the second may have namespace B for A
    cluster.py enter URL AUTHORITY FILE     how many of the accounts' tokens that were seen in FILE the cluster takes
"""

import base64
import concurrent.futures
import http.client
import json
import random
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

# "shop-b" sorts before "shop" where names are parts of paths.
NAMESPACES = ["shop", "shop-b", "team-1", "z" * 63]
KINDS = "secrets,configmaps,serviceaccounts,roles.rbac.authorization.k8s.io"
TYPES = {
    "Opaque": [],
    "kubernetes.io/tls": ["tls.crt", "tls.key"],
    "kubernetes.io/basic-auth": ["username"],
    "kubernetes.io/ssh-auth": ["ssh-privatekey"],
    "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
    "kubernetes.io/dockercfg": [".dockercfg"],
    "bootstrap.kubernetes.io/token": ["token-id", "token-secret"],
    "helm.sh/release.v1": ["release"],
    "example.com/own": ["k"],
}
# A Secret that the cluster fills with a token of the account that it names, and what it says of it.
TOKEN = "kubernetes.io/service-account-token"
ACCOUNT = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
LAST_USED = "kubernetes.io/legacy-token-last-used"
# What the cluster itself puts into every namespace.
MADE = {("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")}


class Api:
    def __init__(self, url, authority):
        self.place = urllib.parse.urlparse(url)
        self.trust = ssl.create_default_context(cafile=authority)
        self.local = threading.local()

    def call(self, method, path, body=None, kind="application/json", token="admin"):
        """The status and the parsed answer. Each thread keeps a connection."""
        if not hasattr(self.local, "connection"):
            place = self.place
            self.local.connection = http.client.HTTPSConnection(place.hostname, place.port, context=self.trust, timeout=120)
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", "Content-Type": kind}
        self.local.connection.request(method, path, body and json.dumps(body), headers)
        answer = self.local.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def create(self, path, body):
        status, said = self.call("POST", path, body)
        assert status == 201, said
        return said

    def create_all(self, objects):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for _ in pool.map(lambda it: self.create(*it), objects):
                pass


def value(chance, size):
    """Bytes of every kind: none, random, text, control characters."""
    kind = chance.randrange(4)
    if kind == 0:
        return b""
    if kind == 1:
        return bytes(chance.randrange(33) for _ in range(min(size, 500)))
    if kind == 2:
        return ("\x1b[2J\u202e ü \"\\ \r\n" * (size // 16)).encode()
    return chance.randbytes(size)


def secret(chance, number):
    kind = TOKEN if number % 31 == 30 else list(TYPES)[number % len(TYPES)]
    keys = TYPES.get(kind, []) + [f"key-{at}_.{chance.randrange(100)}" for at in range(chance.randrange(4))]
    sizes = [0, 20, 300, 4000] if number % 100 else [30_000]
    data = {key: value(chance, chance.choice(sizes)) for key in keys}
    if kind == "kubernetes.io/ssh-auth":
        data["ssh-privatekey"] += b"k"
    if kind == "kubernetes.io/dockerconfigjson":
        data[".dockerconfigjson"] = b'{"auths":{"r.example.com":{"auth":"dTpw"}}}'
    if kind == "kubernetes.io/dockercfg":
        data[".dockercfg"] = b'{"r.example.com":{"auth":"dTpw"}}'
    if number % 1000 == 7:
        # As much as there may be, in one value.
        data = {key: b"" for key in TYPES.get(kind, [])} | {"k" * 253: chance.randbytes(1024 * 1024)}
    name = f"s-{number:05}"
    if number % 10 == 3:
        name += "." + "n" * (252 - len(name))
    metadata = {"name": name}
    if chance.randrange(2):
        metadata["labels"] = {"app.kubernetes.io/name": f"x{number % 7}", "empty": ""}
    if chance.randrange(2):
        metadata["annotations"] = {"note": "two\nlines \x1b[2J \u202e \"quoted\" \\ ü", "a/b": "x" * chance.randrange(2000)}
    if kind == TOKEN:
        metadata.setdefault("annotations", {})[ACCOUNT] = "robot"
    if number % 50 == 1:
        metadata["finalizers"] = ["example.com/hold", "example.com/also"]
    body = {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": metadata,
            "data": {key: base64.b64encode(it).decode() for key, it in data.items()}}
    # What is immutable is never given a token.
    if number % 5 == 0 and kind != TOKEN:
        body["immutable"] = number % 10 == 0
    return body


def seed(url, authority, count):
    api, chance = Api(url, authority), random.Random(7)
    owners = {}
    for name in NAMESPACES:
        labels = {"team": "a", "pod-security.kubernetes.io/enforce": "baseline"}
        api.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels, "annotations": {"n": "ü\n"}}})
        place = f"/api/v1/namespaces/{name}"
        every = base64.b64encode(bytes(range(256))).decode()
        # An owner that is restored before what it owns, and one that comes after it.
        owner = api.create(f"{place}/configmaps", {"metadata": {"name": "owner"}, "data": {"t": "ü\r\n"}, "binaryData": {"b": every}})
        late = api.create(f"{place}/serviceaccounts", {"metadata": {"name": "robot"}, "imagePullSecrets": [{"name": "s-00004"}]})
        owners[name] = [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"], "controller": True},
            {"apiVersion": "v1", "kind": "ServiceAccount", "name": "robot", "uid": late["metadata"]["uid"]},
        ]
        role = {"metadata": {"name": "reader", "ownerReferences": owners[name]},
                "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}
        api.create(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{name}/roles", role)
    objects = []
    for number in range(count):
        body, name = secret(chance, number), NAMESPACES[number % len(NAMESPACES)]
        if number % 20 == 2:
            body["metadata"]["ownerReferences"] = owners[name][: 1 + number % 40 // 20]
        objects.append((f"/api/v1/namespaces/{name}/secrets", body))
    api.create_all(objects)
    # The controllers' own share, so that nothing changes any more.
    deadline = time.monotonic() + 600
    for name in NAMESPACES:
        for made in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
            while api.call("GET", f"/api/v1/namespaces/{name}/{made}")[0] != 200:
                assert time.monotonic() < deadline, "seeding needs the controllers"
                time.sleep(0.1)


def lose(url, authority):
    api = Api(url, authority)
    for name in NAMESPACES:
        place = f"/api/v1/namespaces/{name}"
        for item in api.call("GET", f"{place}/secrets")[1]["items"]:
            if item["metadata"].get("finalizers"):
                path = f"{place}/secrets/{item['metadata']['name']}"
                status, said = api.call("PATCH", path, {"metadata": {"finalizers": None}}, "application/merge-patch+json")
                assert status == 200, said
        status, said = api.call("DELETE", place)
        assert status == 200, said
    for name in NAMESPACES:
        while api.call("GET", f"/api/v1/namespaces/{name}")[0] != 404:
            time.sleep(0.1)


def see(kubectl, kubeconfig, path):
    def listed(*arguments):
        command = [kubectl, f"--kubeconfig={kubeconfig}", f"--cache-dir={path}.cache", "get", *arguments, "-o", "json"]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["items"]

    deadline = time.monotonic() + 600
    while True:
        items = listed("namespaces") + listed(KINDS, "-A")
        waiting = [it for it in items if it.get("type") == TOKEN and "token" not in it.get("data", {})]
        if not waiting:
            break
        assert time.monotonic() < deadline, f"{len(waiting)} Secrets are given no token"
        time.sleep(0.2)
    owners = {(it["kind"], it["metadata"].get("namespace"), it["metadata"]["name"]): it["metadata"]["uid"] for it in items}
    seen = {}
    for item in items:
        metadata = item["metadata"]
        namespace = metadata.get("namespace", metadata["name"] if item["kind"] == "Namespace" else "")
        if namespace in ("default", "kube-system", "kube-public", "kube-node-lease") or (item["kind"], metadata["name"]) in MADE:
            continue
        uid = metadata["uid"]
        for owned in ("uid", "resourceVersion", "creationTimestamp", "generation"):
            metadata.pop(owned, None)
        if item.get("type") == TOKEN:
            item["made as"] = uid
            # Another uid, but that of the account.
            account = owners.get(("ServiceAccount", namespace, metadata["annotations"][ACCOUNT]))
            said = metadata["annotations"].get(ACCOUNT_UID)
            metadata["annotations"][ACCOUNT_UID] = "its account's" if said == account else "nobody's"
            filled = base64.b64decode(item["data"]["namespace"]).decode()
            item["data"]["namespace"] = "its own" if filled == namespace else "another"
        for owner in metadata.get("ownerReferences", []):
            # Another uid, but that of the owner.
            found = owners.get((owner["kind"], namespace, owner["name"]))
            owner["uid"] = "its owner's" if owner["uid"] == found else "nobody's"
        seen[f"{item['kind']} {namespace} {metadata['name']}"] = item
    with open(path, "w") as file:
        json.dump(seen, file)


def same(before, after, *moved):
    before, after = (json.load(open(path)) for path in (before, after))
    for pair in moved:
        was, now = pair.split("=")
        before = {key: it for key, it in before.items() if key.split()[1] == was}
        after = dict(placed(it, was) for key, it in after.items() if key.split()[1] == now)
    wrong = [f"missing: {key}" for key in before.keys() - after.keys()]
    wrong += [f"surplus: {key}" for key in after.keys() - before.keys()]
    for key in before.keys() & after.keys():
        one, other = before[key], after[key]
        if one.get("type") == other.get("type") == TOKEN:
            # One that was lost has another token, and one that was not has its own.
            lost = one.pop("made as") != other.pop("made as")
            changed = one["data"].pop("token") != other["data"].pop("token")
            if lost != changed:
                wrong.append(f"{key}: it has {'another' if changed else 'the old'} token")
            forget_use(one)
            forget_use(other)
        wrong += [f"{key}: {field}" for field in one.keys() | other.keys() if one.get(field) != other.get(field)]
    print(f"{len(before)} objects, {len(wrong)} differences")
    if wrong:
        sys.exit("\n".join(sorted(wrong)[:20]))


def forget_use(item):
    """The cluster writes down beside a token when it was used."""
    labels = item["metadata"].get("labels", {})
    labels.pop(LAST_USED, None)
    if not labels:
        item["metadata"].pop("labels", None)


def enter(url, authority, path):
    api = Api(url, authority)
    tokens = [it for it in json.load(open(path)).values() if it.get("type") == TOKEN]
    entered = 0
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    for item in tokens:
        token = base64.b64decode(item["data"]["token"]).decode()
        status, said = api.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review, token=token)
        if status == 401:
            continue
        metadata = item["metadata"]
        account = f"system:serviceaccount:{metadata['namespace']}:{metadata['annotations'][ACCOUNT]}"
        assert status == 201 and said["status"]["userInfo"]["username"] == account, said
        entered += 1
    print(f"{entered} of {len(tokens)} tokens")


def placed(item, namespace):
    """The object as it would be in the other namespace, after its key."""
    metadata = item["metadata"]
    if item["kind"] == "Namespace":
        metadata["name"] = metadata["labels"]["kubernetes.io/metadata.name"] = namespace
    else:
        metadata["namespace"] = namespace
    return f"{item['kind']} {namespace} {metadata['name']}", item


if __name__ == "__main__":
    act, arguments = sys.argv[1], sys.argv[2:]
    if act == "seed":
        seed(arguments[0], arguments[1], int(arguments[2]))
    else:
        {"lose": lose, "see": see, "same": same, "enter": enter}[act](*arguments)
