# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The slots of an envelope, and how those are written that all events of a transaction share.

They are inlined into the compiled envelope. `layout.py` says what each slot is.
"""

from libc.stdint cimport uint64_t

from cdc_sidecar.events._avro cimport (
    DIGITS,
    VARINT,
    byte,
    copy,
    copy_bytes,
    floor_thousandth,
    put_decimal,
    put_long,
    put_varint,
)
from cdc_sidecar.events._transaction cimport SourceTransaction

cdef enum:
    CONSTANT
    # the slots of `layout.OF_TRANSACTION`, in its order
    COMMIT_MS
    COMMIT_US
    COMMIT_NS
    XID
    ORIGIN
    ORIGIN_LSN
    COMMIT_LSN
    BLOCK
    BLOCK_ID
    RECEIVED_MS
    RECEIVED_US
    RECEIVED_NS
    # those that change within a transaction
    SEQUENCE
    LSN
    BEFORE
    AFTER
    OP
    TOTAL_ORDER
    COLLECTION_ORDER
    OWN

cdef enum:
    PIECE = CONSTANT  # of an event: a piece of the buffer
    ROOM = 12 * (1 + VARINT) + 2 * DIGITS + 1  # more than all slots of a transaction but ORIGIN take
    SEQUENCE_ROOM = 64  # more than `["`, two numbers of 20 digits, `","`, `"]` and their length


cdef inline byte *put_block_id(SourceTransaction transaction, byte *out) except NULL:
    cdef byte text[2 * DIGITS + 1]
    cdef Py_ssize_t size = put_decimal(transaction.xid, text)
    text[size] = c":"
    size += 1 + put_decimal(transaction.final_lsn, text + size + 1)
    return copy(out + put_varint(<uint64_t> size << 1, out), text, size)


cdef inline byte *put_slot(int code, SourceTransaction transaction, byte *out) except NULL:
    """Write a field that is the same for all events of a transaction."""
    if code == COMMIT_MS:
        return out + put_long(floor_thousandth(transaction.commit_time), out)
    if code == COMMIT_US:
        return out + put_long(transaction.commit_time, out)
    if code == COMMIT_NS:
        return out + put_long(transaction.commit_time * 1000, out)
    if code == RECEIVED_MS:
        return out + put_long(floor_thousandth(transaction.received), out)
    if code == RECEIVED_US:
        return out + put_long(transaction.received, out)
    if code == RECEIVED_NS:
        return out + put_long(transaction.received * 1000, out)
    if code == COMMIT_LSN:
        return out + put_long(transaction.final_lsn, out)
    if code == BLOCK_ID:
        return out if transaction.xid is None else put_block_id(transaction, out)
    if code == ORIGIN and transaction.origin is not None:
        return copy_bytes(out, transaction.origin)
    out[0] = 2
    if code == XID and transaction.xid is not None:
        return out + 1 + put_long(transaction.xid, out + 1)
    if code == ORIGIN_LSN and transaction.origin is not None:
        return out + 1 + put_long(transaction.origin_lsn, out + 1)
    if code == BLOCK and transaction.xid is not None:
        return out + 1
    out[0] = 0
    return out + 1
