"""strongroom with one constant changed: the text is changed in a copy of the tree, and built in a folder of its own."""

import os
import pathlib
import re
import shutil
import subprocess

from measure import check, run, say

ROOT = pathlib.Path(__file__).parents[2]
LIMITS, CUT = "crates/format/src/limits.rs", "crates/format/src/cut.rs"
FRAME, BASE = "crates/format/src/frame.rs", "crates/repository/src/base.rs"
ZSTD = r"const LEVEL: i32 = \d+;\nconst PARAMETERS: \[CParameter; \d+\] = \[[^\]]*\];"
# For the time that a build takes. What is left out gains strongroom a few hundredths, in every variant alike.
PROFILE = [word for setting in ("lto=false", "codegen-units=16", "package.strongroom.opt-level=1")
           for word in ("--config", f"profile.release.{setting}")]


class Constant:
    """One constant of the writer: where it stands, what it is, and what it might be, as {title: text}."""

    def __init__(self, title, file, pattern, chosen, others):
        self.title, self.file, self.pattern, self.chosen, self.others = title, file, pattern, chosen, others



def number(title, file, name, kind, chosen, others):
    """A constant that is one number; `others` maps what is shown to what is written."""
    return Constant(title, file, rf"const {name}: {kind} = [^;]*;", chosen,
                    {shown: f"const {name}: {kind} = {text};" for shown, text in others.items()})


def zstd(level, *parameters):
    inside = "".join(f"CParameter::{parameter}, " for parameter in parameters)
    return f"const LEVEL: i32 = {level};\nconst PARAMETERS: [CParameter; {len(parameters)}] = [{inside}];"


def large(average):
    return f"const LARGE_UNIT: Sizes = Sizes {{ min: {average // 2} << 10, average: {average} << 10, max: {average * 4} << 10 }};"


STORED = [
    number("frames", LIMITS, "FRAME_TARGET", "usize", "512 KiB",
           {"256 KiB": "256 * 1024", "1 MiB": "1024 * 1024", "2 MiB": "2048 * 1024"}),
    number("units of one chunk, up to", CUT, "WHOLE_UNIT", "u64", "8 KiB",
           {"4 KiB": "4 << 10", "16 KiB": "16 << 10", "32 KiB": "32 << 10"}),
    Constant("chunks of larger units, on average", CUT, r"const LARGE_UNIT: Sizes = Sizes \{[^}]*\};", "4 KiB",
             {f"{average} KiB": large(average) for average in (2, 8, 16)}),
    Constant("zstd", FRAME, ZSTD, "level 3, fast, 17, 6",
             {"level 1": zstd(1), "level 3": zstd(3), "level 6": zstd(6),
              "level 3, fast, 16, 6": zstd(3, "Strategy(Strategy::ZSTD_fast)", "HashLog(16)", "MinMatch(6)")}),
]
REFERRED = [
    number("runs referred to, at most", LIMITS, "RUNS_TARGET", "usize", "128", {"32": "32", "64": "64", "256": "256"}),
    number("share of a run in use, at least", BASE, "LIVE_SHARE", "u64", "1/5",
           {"0": "1 << 20", "1/10": "10", "1/3": "3", "1/2": "2"}),
]


def build(constant=None, shown=None):
    """The program with the constant as `shown`, or as it stands. What was built before from the same text is used again."""
    cache = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "bench-variants"
    tree = cache / "tree"
    copy_tree(tree)
    if constant:
        path = tree / constant.file
        text, count = re.subn(constant.pattern, lambda _: constant.others[shown], path.read_text())
        check(count == 1, f"{constant.file} has no {constant.pattern}: say in ci/bench/variant.py where it is now")
        path.write_text(text)
    program = cache / "programs" / digest(tree) / "strongroom"
    if not program.exists():
        say(f"building {constant.title}: {shown}" if constant else "building strongroom as it is")
        subprocess.run(["cargo", "build", "--quiet", "--release", "--locked", "--package", "strongroom", *PROFILE], cwd=tree, check=True,
                       env=os.environ | {"CARGO_TARGET_DIR": str(cache / "target"), "RUSTFLAGS": "--cap-lints=warn"})
        program.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(cache / "target" / "release" / "strongroom", program)
    return program


def copy_tree(tree):
    """The tracked files; those that are as they were keep their times, so that cargo builds no more than it must."""
    for name in run("git", "-C", ROOT, "ls-files", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "crates", "docs", "README.md").splitlines():
        source, copy = ROOT / name, tree / name
        if source.is_file() and not (copy.exists() and copy.read_bytes() == source.read_bytes()):
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())


def digest(tree):
    listed = run("bash", "-c", f"cd '{tree}' && find crates Cargo.lock -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum")
    return listed.split()[0][:16]
