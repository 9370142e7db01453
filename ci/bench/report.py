"""docs/benchmarks.md: one section for each subcommand, each written by itself."""

import datetime
import os
import pathlib
import platform
import re
import sys

from measure import run

REPORT = pathlib.Path(__file__).parents[2] / "docs" / "benchmarks.md"
ORDER = ["compare", "sets", "cluster-hours", "stores", "etcd", "kubernetes", "alternatives", "simulate"]
INTRODUCTION = """# Benchmarks

What strongroom costs beside other tools, and what its constants were chosen by. Every section is written by the command that stands
in its first line, and by nothing else. Both sides of a comparison are measured in one run, one after the other, on the same bytes
and the same disk; every restore is compared with the original, and a tool that gives back something else ends the run.

Processor seconds are user and system time of all processes together; *memory* is the largest process. The machine is shared, so that
wall times are noise and processor seconds vary by a tenth or two: **ratios count, not absolute figures**. MB are 10⁶ bytes.
"""


def write(section, lines):
    """Puts the lines in place of what the section says."""
    sections = read()
    sections[section] = "\n".join(lines).strip()
    parts = [INTRODUCTION] + [f"<!-- {name} -->\n{sections[name]}\n<!-- /{name} -->\n" for name in ORDER if name in sections]
    REPORT.write_text("\n".join(parts))
    print(sections[section])


def read():
    text = REPORT.read_text() if REPORT.exists() else ""
    return dict(re.findall(r"<!-- ([\w-]+) -->\n(.*?)\n<!-- /\1 -->", text, re.DOTALL))


def heading(title, versions):
    """The title, and with what and on what it was measured."""
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    command = " ".join(["./bench", *sys.argv[1:]])
    commit = run("git", "-C", REPORT.parent, "rev-parse", "--short", "HEAD").strip()
    return [f"## {title}", "",
            f"By `{command}` at commit {commit} on {datetime.date.today()}: {os.cpu_count()} × {model}, Linux {platform.release()}, one local disk. "
            f"{'; '.join(versions)}.", ""]


def table(head, rows):
    """A table of Markdown."""
    width = range(len(head))
    return [line(head), line(["---" if at == 0 else "---:" for at in width]), *(line(row) for row in rows), ""]


def verdict(reached):
    return "met" if reached else "**missed**"


def line(cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def megabytes(count):
    return f"{count / 1e6:,.{1 if count < 99.5e6 else 0}f}"
