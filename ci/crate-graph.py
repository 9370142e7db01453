#!/usr/bin/env python3
"""Checks that our crates see each other exactly as ARCHITECTURE.md draws it, and that no test can hide.

Reads `cargo metadata --no-deps --format-version 1` on standard input.
"""

import json
import sys

# Crate: what it may be built on. `testkit` starts servers for tests and is nobody's but the tests'.
ARROWS = {
    "strongroom-archive": set(),
    "strongroom-source": {"strongroom-archive"},
    "strongroom-format": {"strongroom-archive"},
    "strongroom-repository": {"strongroom-archive", "strongroom-format"},
    "strongroom-foreign": {"strongroom-archive"},
    "strongroom": {"strongroom-archive", "strongroom-source", "strongroom-format", "strongroom-repository", "strongroom-foreign"},
    "strongroom-testkit": set(),
}
# A crate's tests may also use the test servers, and the conformance suite that stands beside the source trait.
FOR_TESTS = {"strongroom-testkit"}


def main() -> int:
    packages = {package["name"]: package for package in json.load(sys.stdin)["packages"]}
    faults = []
    for name in sorted(packages.keys() ^ ARROWS.keys()):
        faults.append(f"{name}: is in the workspace or in this script, but not in both")
    for name, package in packages.items():
        faults += arrow_faults(name, package["dependencies"])
        faults += hidden_tests(name, package["targets"])
    for fault in faults:
        print(f"crate-graph.py: {fault}", file=sys.stderr)
    return 1 if faults else 0


def arrow_faults(name, dependencies):
    built_on, tested_with = set(), set()
    for dependency in dependencies:
        if dependency["name"].startswith("strongroom"):
            (tested_with if dependency["kind"] == "dev" else built_on).add(dependency["name"])
    allowed = ARROWS.get(name, set())
    for extra in sorted(built_on - allowed):
        yield f"{name} is built on {extra}, which the architecture does not allow"
    for missing in sorted(allowed - built_on):
        yield f"{name} is no longer built on {missing}: take the arrow out of ARCHITECTURE.md and of this script"
    for extra in sorted(tested_with - FOR_TESTS - allowed - {name}):
        yield f"{name} is tested with {extra}, which the architecture does not allow"


def hidden_tests(name, targets):
    for target in targets:
        if target.get("required-features"):
            yield f"{name}: target {target['name']} needs a feature, so that `cargo test` would leave it out silently"
        if "test" in target["kind"] and not target["test"]:
            yield f"{name}: test target {target['name']} is switched off"


sys.exit(main())
