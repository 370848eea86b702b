"""What ONNX files are written in: protocol buffers, as far as they are needed here.

A message is its fields one after another: a key, which is 8 times the field's number plus a wire type (0: varint, 2: bytes, 5: four
bytes), and the value. Source: protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def varint(n: int) -> bytes:
    """A whole number, seven bits a byte, the lowest first; negative ones as 64 bits."""
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def message(*fields: tuple[int, Any]) -> bytes:
    """A message of (number, value) pairs: bytes (a message too), str, int, float, or a list of them."""
    out = bytearray()
    for number, value in fields:
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(one, float):
                out += varint(number << 3 | 5) + struct.pack("<f", one)
            elif isinstance(one, int):
                out += varint(number << 3) + varint(one)
            else:
                data = one.encode() if isinstance(one, str) else bytes(one)
                out += varint(number << 3 | 2) + varint(len(data)) + data
    return bytes(out)
