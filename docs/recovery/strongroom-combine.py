#!/usr/bin/env python3
"""Brings an identity back from shares of paper, without strongroom: docs/recovery/shares.md. Needs Python 3.8 and nothing else.

    python3 strongroom-combine.py FILE... > identity.txt

Each file holds the lines of one or more shares, as `strongroom keygen --split` printed them. What cannot be, it refuses with a sentence.
"""

import hashlib
import sys

SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTHS = [20, 20, 12]  # of a share's lines, in bytes


def main(names):
    shares = [share for name in names for share in read(name)]
    if not shares:
        sys.exit(__doc__)
    header = shares[0][0]
    by_number = {}
    for other, values in shares:
        if other[:3] + other[4:] != header[:3] + header[4:]:
            sys.exit(f"share {header[3]} and share {other[3]} do not belong together")
        if by_number.setdefault(other[3], values) != values:
            sys.exit(f"there are two different shares {other[3]}")
    needed = header[1]
    if len(by_number) < needed:
        sys.exit(f"{len(by_number)} of the {needed} shares that are needed are there")
    secret = combine(dict(list(by_number.items())[:needed]))
    recipient = bech32("age", x25519(secret))
    if hashlib.sha256(b"strongroom share 1 recipient " + recipient.encode()).digest()[:12] != header[8:]:
        sys.exit("they do not give the identity that was split: at least one of them is wrong, although its checksums are right")
    print(f"# public key: {recipient}")
    print(bech32("age-secret-key-", secret).upper())


def read(name):
    """The shares in a file: the first line of each, and its values."""
    with open(name, encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    parts = []
    for at, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        number, _, signs = line.partition(":")
        if number.strip() != str(len(parts)):
            sys.exit(f"{name}, line {at}: `{len(parts)}:` of a share is missing")
        data, check = decoded(signs, LENGTHS[len(parts)])
        parts.append(data)
        if data is None or check != checksum(parts[0], len(parts) - 1, data):
            sys.exit(f"{name}, line {at}: it is mistyped, or belongs to another share")
        if parts[0][0] != 1:
            sys.exit(f"{name}: it is a share of a later version")
        if len(parts) == len(LENGTHS):
            yield parts[0], parts[1] + parts[2]
            parts = []
    if parts:
        sys.exit(f"{name}: `{len(parts)}:` of a share is missing")


def decoded(text, length):
    """The bytes of a line, and its checksum."""
    signs = text.upper().translate(str.maketrans("ILOU", "110V", "- \t"))
    wanted = -(-length * 8 // 5)
    if len(signs) != wanted + 4 or set(signs) - set(SIGNS):
        return None, None
    bits = "".join(f"{SIGNS.index(sign):05b}" for sign in signs[:wanted])
    if bits[length * 8 :].strip("0"):
        return None, None
    return int(bits[: length * 8], 2).to_bytes(length, "big"), signs[wanted:]


def checksum(header, line, data):
    digest = hashlib.sha256(b"strongroom share 1 line " + header + bytes([line]) + data).digest()
    bits = int.from_bytes(digest[:4], "big")
    return "".join(SIGNS[bits >> (27 - 5 * at) & 31] for at in range(4))


def combine(shares):
    """The polynomials' values at 0, by Lagrange, in the field of AES: x^8 + x^4 + x^3 + x + 1."""
    secret = bytearray(32)
    for number, values in shares.items():
        factor = 1
        for other in shares:
            if other != number:
                factor = times(factor, times(other, inverse(other ^ number)))
        for at, value in enumerate(values):
            secret[at] ^= times(factor, value)
    return bytes(secret)


def times(a, b):
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def inverse(a):
    return next(b for b in range(1, 256) if times(a, b) == 1)


def x25519(secret):
    """The public key of a secret one: RFC 7748."""
    p = 2**255 - 19
    scalar = int.from_bytes(secret, "little") & ~7 & (1 << 255) - 1 | 1 << 254
    x2, z2, x3, z3, swap = 1, 0, 9, 1, 0
    for at in range(254, -1, -1):
        bit = scalar >> at & 1
        if swap ^ bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        e, da, cb = a * a - b * b, d * a, c * b
        x3, z3 = (da + cb) ** 2 % p, 9 * (da - cb) ** 2 % p
        x2, z2 = a * a * b * b % p, e * (a * a + 121665 * e) % p
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, p - 2, p) % p).to_bytes(32, "little")


def bech32(prefix, data):
    """BIP 173, as age writes keys."""
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    fives = [int(bits[at : at + 5], 2) for at in range(0, len(bits), 5)]
    check = 1
    for five in [ord(sign) >> 5 for sign in prefix] + [0] + [ord(sign) & 31 for sign in prefix] + fives + [0] * 6:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ five
        for at, generator in enumerate([0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3]):
            check ^= generator if top >> at & 1 else 0
    check ^= 1
    fives += [check >> 5 * (5 - at) & 31 for at in range(6)]
    return prefix + "1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[five] for five in fives)


if __name__ == "__main__":
    main(sys.argv[1:])
