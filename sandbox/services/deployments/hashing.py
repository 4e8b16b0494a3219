"""ARM's three stable hashes: ``uniqueString()``, ``guid()`` and the template hash.

>>> unique_string("test")
'rbgf3xv4ufgzg'

``uniqueString`` is a 64-bit variant of MurmurHash3 (x86, 128 bits) with two lanes instead of four, written with five
bits a character; ``guid`` is an RFC 4122 version 5 UUID in ARM's own namespace. Both join their arguments with ``-``.
"""

from __future__ import annotations

import uuid

GUID_NAMESPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"

_C1, _C2 = 0x239B961B, 0xAB0E9789
_MASK = 0xFFFFFFFF


def unique_string(*parts: str) -> str:
    """Thirteen characters that depend only on the parts."""
    value = murmur64("-".join(parts).encode())
    return "".join(ALPHABET[(value >> shift if shift >= 0 else value << -shift) & 31] for shift in range(59, -6, -5))


def guid(*parts: str) -> str:
    """The GUID that ARM derives from the parts."""
    return str(uuid.uuid5(GUID_NAMESPACE, "-".join(parts)))


def murmur64(data: bytes) -> int:
    """The hash behind ``uniqueString()``, as an unsigned 64-bit number."""
    low = high = 0
    whole = len(data) - len(data) % 8
    for start in range(0, whole, 8):
        low ^= _scramble(int.from_bytes(data[start : start + 4], "little"), _C1, 15, _C2)
        low = ((_rotate(low, 19) + high) * 5 + 0x561CCD1B) & _MASK
        high ^= _scramble(int.from_bytes(data[start + 4 : start + 8], "little"), _C2, 17, _C1)
        high = ((_rotate(high, 13) + low) * 5 + 0x0BCAA747) & _MASK
    tail = data[whole:]
    low ^= _scramble(int.from_bytes(tail[:4], "little"), _C1, 15, _C2)
    high ^= _scramble(int.from_bytes(tail[4:], "little"), _C2, 17, _C1)
    low, high = _mix(low ^ len(data), high ^ len(data))
    low, high = _mix(_avalanche(low), _avalanche(high))
    return high << 32 | low


def _mix(low: int, high: int) -> tuple[int, int]:
    low = (low + high) & _MASK
    return low, (high + low) & _MASK


def _scramble(word: int, first: int, turn: int, second: int) -> int:
    return _rotate(word * first & _MASK, turn) * second & _MASK


def _rotate(word: int, turn: int) -> int:
    return (word << turn | word >> (32 - turn)) & _MASK


def _avalanche(word: int) -> int:
    word = (word ^ word >> 16) * 0x85EBCA6B & _MASK
    word = (word ^ word >> 13) * 0xC2B2AE35 & _MASK
    return word ^ word >> 16
