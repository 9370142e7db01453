"""strongroom with its writer's constants read from the environment: the text is changed in a copy of the tree, and built once."""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess

from measure import check, run, say

ROOT = pathlib.Path(__file__).parents[2]
TREE = [".cargo", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "crates", "docs", "README.md"]
LIMITS, CUT, FRAME = (f"crates/format/src/{name}.rs" for name in ("limits", "cut", "frame"))
LANE, BASE = (f"crates/repository/src/{name}.rs" for name in ("lane", "base"))
# For the time that a build takes. What is left out gains strongroom a few hundredths, in every variant alike.
PROFILE = ["--config", "profile.release.lto=false", "--config", "profile.release.codegen-units=16"]


@dataclasses.dataclass
class Constant:
    """What it is called, what it is (in words; the source has the value), and what it might be: {title: {variable: value}}."""

    title: str
    chosen: str
    others: dict


def number(title, variable, chosen, others):
    return Constant(title, chosen, {shown: {variable: value} for shown, value in others.items()})


STORED = [
    number("frames", "FRAME_TARGET", "512 KiB", {"256 KiB": 256 << 10, "1 MiB": 1 << 20, "2 MiB": 2 << 20}),
    number("units of one chunk, up to", "WHOLE_UNIT", "32 KiB",
           {"4 KiB": 4 << 10, "8 KiB": 8 << 10, "16 KiB": 16 << 10, "64 KiB": 64 << 10}),
    number("chunks of larger units, on average", "LARGE_UNIT", "8 KiB",
           {"2 KiB": 2 << 10, "4 KiB": 4 << 10, "16 KiB": 16 << 10}),
    Constant("zstd", "level 3", {
        "level 1": {"LEVEL": 1}, "level 2": {"LEVEL": 2}, "level 6": {"LEVEL": 6}, "level 3, but fast, 17, 6": {"HASH_LOG": 17}}),
]
REFERRED = [
    number("runs referred to, at most", "RUNS_TARGET", "128", {"32": 32, "64": 64, "256": 256}),
    number("share of a run in use, at least", "LIVE_SHARE", "1/5", {"0": 1 << 20, "1/10": 10, "1/3": 3, "1/2": 2}),
]


def static(name, kind, value):
    return f"static {name}: std::sync::LazyLock<{kind}> = std::sync::LazyLock::new(|| {value});"


def read(name, chosen):
    return f'std::env::var("BENCH_{name}").map_or({chosen}, |text| text.parse().expect("a number"))'


def constant(name, kind):
    """A change of a constant that is one number."""
    return rf"const {name}: {kind} = ([^;]+);", lambda found: static(name, kind, read(name, found[1]))


# (file, what stands there once, what is put in its place)
CHANGES = [
    (LIMITS, *constant("FRAME_TARGET", "usize")),
    (LANE, r"reserve\(FRAME_TARGET \+", "reserve(*FRAME_TARGET +"),
    (LANE, ">= FRAME_TARGET", ">= *FRAME_TARGET"),
    (LIMITS, *constant("RUNS_TARGET", "usize")),
    (BASE, r"take\(RUNS_TARGET -", "take(*RUNS_TARGET -"),
    (BASE, *constant("LIVE_SHARE", "u64")),
    (BASE, r"used \* LIVE_SHARE", "used * *LIVE_SHARE"),
    (CUT, *constant("WHOLE_UNIT", "u64")),
    (CUT, "length <= WHOLE_UNIT", "length <= *WHOLE_UNIT"),
    (CUT, r"const LARGE_UNIT: Sizes = Sizes \{\s*min: [^,]+,\s*average: ([^,]+),\s*max: [^,]+,\s*\};",
     lambda found: static("LARGE_UNIT", "Sizes", f"{{ let average: usize = {read('LARGE_UNIT', found[1])}; "
                                                 "Sizes { min: average / 2, average, max: average * 4 } }")),
    (CUT, r"\.scan\(LARGE_UNIT,", ".scan(*LARGE_UNIT,"),
    (FRAME, *constant("LEVEL", "i32")),
    (FRAME, r"^use std::cell::RefCell;", "use std::cell::RefCell;\n\nuse zstd::zstd_safe::{CParameter, Strategy};"),
    (FRAME, r"let zstd = zstd::bulk::Compressor::new\(LEVEL\)([^;]+);",
     lambda found: f"let mut zstd = zstd::bulk::Compressor::new(*LEVEL){found[1]}; let hash_log: u32 = {read('HASH_LOG', 0)}; "
                   "if hash_log > 0 { for parameter in [CParameter::Strategy(Strategy::ZSTD_fast), CParameter::HashLog(hash_log), "
                   'CParameter::MinMatch(6)] { zstd.set_parameter(parameter).expect("zstd has it"); } }'),
]


def command(program, variables):
    """How a shell calls the program with these constants."""
    return " ".join(["env", *(f"BENCH_{name}={value}" for name, value in variables.items()), str(program)])


def build():
    """The program, which takes the constants from the environment."""
    folder = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "bench-variants"
    tree = folder / "tree"
    changed = {}
    for file, before, after in CHANGES:
        text = changed.get(file, (ROOT / file).read_text())
        changed[file], count = re.subn(before, after, text)
        check(count == 1, f"{file} does not have {before!r} once: say in ci/bench/variant.py what it has now")
    for name in run("git", "-C", ROOT, "ls-files", *TREE).splitlines():
        copy = tree / name
        data = changed[name].encode() if name in changed else (ROOT / name).read_bytes()
        # What is as it was keeps its time, so that cargo builds no more than it must.
        if not (copy.exists() and copy.read_bytes() == data):
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(data)
    say("building strongroom with constants from the environment")
    subprocess.run(["cargo", "build", "--quiet", "--release", "--locked", "--package", "strongroom", *PROFILE], cwd=tree, check=True,
                   env=os.environ | {"CARGO_TARGET_DIR": str(folder / "target")})
    return shutil.copy(folder / "target" / "release" / "strongroom", "strongroom-variants")
