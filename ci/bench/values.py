"""What is backed up: values of which one third is random and two thirds are text like that of Kubernetes objects."""

import os
import pathlib
import random

WORDS = """apiVersion kind metadata namespace labels team deployment replicas image containers resources limits cpu memory status
conditions lastTransitionTime reason message spec template volumes secret configMap annotations kubectl managedFields""".split()


class Values:
    """The same values in every run."""

    def __init__(self, seed=1):
        self.random = random.Random(seed)
        choice, number = self.random.choice, self.random.randrange
        self.lines = [f'"{choice(WORDS)}": "{choice(WORDS)}-{number(10_000)}",\n'.encode() for _ in range(400_000)]

    def value(self, length):
        if self.random.random() < 1 / 3:
            return self.random.randbytes(length)
        return self.text(length)

    def text(self, length):
        return b"".join(self.random.choices(self.lines, k=length // 16))[:length]

    def sample(self, of, share):
        return self.random.sample(of, max(1, round(len(of) * share)))


def make_files(folder, count, values):
    """`count` files of 0.5 to 8 KB in 200 folders; returns their paths."""
    paths = [pathlib.Path(folder, f"team-{number % 200}", f"secret-{number}") for number in range(count)]
    for path in paths[:200]:
        path.parent.mkdir(parents=True)
    for path in paths:
        change_file(path, values)
    return paths


def change_file(path, values):
    path.write_bytes(values.value(values.random.randint(500, 8000)))


def same_files(one, other):
    """Whether both folders have the same files, byte for byte."""
    names = names_below(one)
    return names == names_below(other) and all(pathlib.Path(one, name).read_bytes() == pathlib.Path(other, name).read_bytes()
                                               for name in names)


def names_below(folder):
    return sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names)
