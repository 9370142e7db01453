#!/usr/bin/env python3
"""Writes the cases beside it: objects of etcd-backup, whole and broken, by another implementation than the one that is tested.

It needs PyNaCl and what is known of the format, and none of strongroom's code. `ci/python.sh` prints a Python that has it. The first
two cases are etcd-backup's own figures: the key object of docs/sources/etcd-backup.md, and the ten bytes in chunks of five of its unit test.
"""

import pathlib
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as aead

HERE = pathlib.Path(__file__).parent
MASTER, KEY, OTHER = b"\x22" * 32, b"\x11" * 32, b"\x33" * 32
TIME = bytes(range(8))


def seal(key, nonce, plain, about=b""):
    return nonce + aead(plain, about, nonce, key)


def chunks(plain, key=KEY, base=TIME + b"\xbb" * 8, size=5, start=0):
    cut = [plain[at : at + size] for at in range(0, len(plain), size)]
    return [seal(key, base + (start + n).to_bytes(8, "big"), part) for n, part in enumerate(cut)]


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def write(name, about, bytes_, opens=None, refused=None, **fields):
    lines = [f"# {about}"] + [f"{key}: {value.hex() if isinstance(value, bytes) else value}" for key, value in fields.items()]
    lines.append(f"bytes: {bytes_.hex()}")
    lines.append(f"opens: {opens.hex()}" if refused is None else f"refused: {refused}")
    (HERE / name).write_text("\n".join(lines) + "\n")


def keys():
    good = seal(MASTER, TIME + b"\xaa" * 16, KEY)
    at = {"object": "key", "key": MASTER}
    write("key-good", "a key under the master key", good, KEY, **at)
    closed = "the master key does not open it: it is another cluster's or an older one, or the object is damaged"
    for name, about, data in [
        ("flipped-nonce", "one bit of the nonce", flip(good, 0)),
        ("flipped-key", "one bit of the sealed key", flip(good, 30)),
        ("flipped-tag", "the last bit", flip(good, 71)),
        ("zeros", "as a disk may leave it", bytes(72)),
        ("another-cluster", "sealed to another master key", seal(OTHER, TIME + b"\xaa" * 16, KEY)),
        ("about-something", "sealed with associated data, of which there is none", seal(MASTER, TIME + b"\xaa" * 16, KEY, b"backup")),
        ("tag-first", "the tag stands before the sealed key", good[:24] + good[56:] + good[24:56]),
    ]:
        write(f"key-{name}", about, data, refused=closed, **at)
    for name, about, data in [
        ("empty", "nothing: the original panics", b""),
        ("cut-in-nonce", "less than a nonce: the original panics", good[:23]),
        ("cut", "one byte is missing", good[:-1]),
        ("longer", "one byte too many", good + b"\n"),
        ("short-key", "authentic, with a key of 31 bytes", seal(MASTER, TIME + b"\xaa" * 16, KEY[:31])),
        ("long-key", "authentic, with a key of 33 bytes", seal(MASTER, TIME + b"\xaa" * 16, KEY + b"x")),
    ]:
        write(f"key-{name}", about, data, refused=f"it has {len(data)} bytes, where a key object has 72", **at)


def dumps():
    at = {"object": "dump", "key": KEY, "chunk": 5}
    first, second = chunks(b"This is so")
    write("dump-good", "two full chunks", first + second, b"This is so", **at)
    short = b"".join(chunks(b"This is short"))
    write("dump-short-last", "the last chunk has less than the others", short, b"This is short", **at)
    write("dump-one-byte", "as little as there can be", chunks(b"x")[0], b"x", **at)
    order = "its chunk {} stands where chunk {} belongs: chunks were left out, doubled or moved"
    three = chunks(b"This is so good")
    for name, about, parts, found, expected in [
        ("first-left-out", "begins with the second chunk: the original restores it", three[1:], 1, 0),
        ("one-left-out", "lacks a chunk in the middle: the original restores it", [three[0], three[2]], 2, 1),
        ("doubled", "has a chunk twice: the original restores it", [three[0], three[0], *three[1:]], 0, 1),
        ("last-doubled", "has the last chunk twice: the original restores it", [*three, three[2]], 2, 3),
        ("moved", "has two chunks in each other's place: the original restores it", [three[0], three[2], three[1]], 2, 1),
        ("counts-from-one", "the counter does not begin at 0", chunks(b"This is so", start=1), 1, 0),
        ("counter-wraps", "the counter is the greatest", chunks(b"This", start=2**64 - 1), 2**64 - 1, 0),
        ("whole-doubled", "the whole dump stands there twice: the original restores it", three * 2, 0, 3),
        ("backwards", "its chunks stand in the opposite order: the original restores it", three[::-1], 2, 0),
        ("counter-little-endian", "the counter's bytes stand the other way round", [three[0], *chunks(b"is so", start=1 << 56)], 1 << 56, 1),
    ]:
        write(f"dump-{name}", about, b"".join(parts), refused=order.format(found, expected), **at)
    other = chunks(b"This is so", base=TIME + b"\xcc" * 8)
    foreign = "its chunk 1 belongs to another dump"
    write("dump-of-two", "its second chunk is of another dump under the same key: the original restores it", first + other[1], refused=foreign, **at)
    later = chunks(b"This is so", base=TIME[::-1] + b"\xbb" * 8)
    write("dump-of-two-moments", "its second chunk has another time: the original restores it", first + later[1], refused=foreign, **at)
    closed = "its chunk {} is damaged, or sealed with another key"
    stranger = chunks(b"This is so", key=OTHER)
    for name, about, data, chunk in [
        ("flipped-counter", "one bit of the first nonce", flip(first, 23) + second, 0),
        ("flipped", "one bit of the second chunk", first + flip(second, 26), 1),
        ("flipped-tag", "the last bit", first + flip(second, len(second) - 1), 1),
        ("cut", "the last byte is missing", first + second[:-1], 1),
        ("cut-in-nonce", "cut in a nonce", first + second[:10], 1),
        ("cut-to-nonce", "of the second chunk there is the nonce", first + second[:24], 1),
        ("cut-in-tag", "of the second chunk there is less than nonce and tag", first + second[:39], 1),
        ("about-something", "sealed with associated data, of which there is none", seal(KEY, first[:24], b"This ", b"backup"), 0),
        ("chunk-too-long", "its only chunk is longer than chunks are", chunks(b"This is so", size=10)[0], 0),
        ("appended", "a line end behind it", first + second + b"\n", 2),
        ("empty-chunk", "an authentic chunk with nothing in it", first + seal(KEY, TIME + b"\xbb" * 8 + (1).to_bytes(8, "big"), b""), 1),
        ("other-key", "sealed with another key", b"".join(stranger), 0),
        ("other-key-later", "its second chunk is sealed with another key", first + stranger[1], 1),
        ("plain", "a snapshot as it is, where a sealed one is expected", b"\0" * 8 + b"\x04\0\0\0" + b"plaintext" * 5, 0),
    ]:
        write(f"dump-{name}", about, data, refused=closed.format(chunk), **at)


keys()
dumps()
