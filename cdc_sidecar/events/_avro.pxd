# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Avro's varints and copies of bytes, for the compiled twins; inlined into each."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

ctypedef unsigned char byte

cdef enum:
    DIGITS = 20  # decimal digits of the largest 64-bit number
    VARINT = 10  # bytes of the longest 64-bit varint


cdef inline Py_ssize_t put_varint(uint64_t number, byte *out) noexcept:
    """Write a number that is already zigzagged; return its size."""
    cdef Py_ssize_t size = 0
    while number >= 0x80:
        out[size] = <byte> (number | 0x80)
        number >>= 7
        size += 1
    out[size] = <byte> number
    return size + 1


cdef inline Py_ssize_t put_long(int64_t number, byte *out) noexcept:
    """Write a long; return its size."""
    return put_varint((<uint64_t> number << 1) ^ <uint64_t> (number >> 63), out)


cdef inline byte *copy(byte *out, const void *part, Py_ssize_t size) noexcept:
    """Copy a part; return where it ends."""
    memcpy(out, part, size)
    return out + size


cdef inline byte *copy_bytes(byte *out, bytes part) noexcept:
    """Copy bytes; return where they end."""
    return copy(out, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))


cdef inline Py_ssize_t put_decimal(uint64_t number, byte *out) noexcept:
    """Write a number in decimal digits; return their count."""
    cdef byte reversed_[DIGITS]
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t at
    while True:
        reversed_[count] = <byte> (48 + number % 10)
        number //= 10
        count += 1
        if number == 0:
            break
    for at in range(count):
        out[at] = reversed_[count - 1 - at]
    return count


cdef inline byte *put_nullable(byte *out, bytes content) noexcept:
    """Write a union of null and content that is encoded already."""
    out[0] = 0 if content is None else 2
    return out + 1 if content is None else copy_bytes(out + 1, content)


cdef inline int64_t floor_thousandth(int64_t number) noexcept:
    """Divide as Python does: C would round a time before 1970 up."""
    return number // 1000 - (number % 1000 < 0)


cdef inline Py_ssize_t read_length(const byte *number) noexcept:
    """Read the length of a text in a row message: 32 bits, big-endian."""
    return (
        (<uint32_t> number[0] << 24) | (<uint32_t> number[1] << 16)
        | (<uint32_t> number[2] << 8) | number[3]
    )
