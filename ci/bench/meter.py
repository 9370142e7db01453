"""Runs a shell command that must succeed and prints, as JSON, what it used.

A process of its own, and a small one: the kernel counts the memory of whoever starts a program as the program's.
"""

import json
import os
import subprocess
import sys
import time


def main(command):
    began = time.monotonic()
    process = subprocess.Popen(["bash", "-o", "pipefail", "-c", command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    print(json.dumps({"wall": time.monotonic() - began, "cpu": usage.ru_utime + usage.ru_stime,
                      "memory": usage.ru_maxrss * 1024}))
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
