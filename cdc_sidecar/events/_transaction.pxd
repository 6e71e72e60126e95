# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Records and transactions, as the compiled envelope uses them."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from cdc_sidecar.events._avro cimport byte, copy_bytes


@cython.final
@cython.no_gc
cdef class Record:
    cdef readonly str topic
    cdef readonly bytes value
    cdef readonly bytes key
    cdef readonly int partition
    cdef readonly list headers
    cdef readonly int64_t timestamp


@cython.final
cdef class SourceTransaction:
    cdef readonly object final_lsn
    cdef readonly object xid
    cdef readonly int64_t commit_time
    cdef readonly int64_t total_order
    cdef readonly int64_t lsn
    cdef readonly int64_t index
    cdef readonly list records
    cdef readonly Py_ssize_t size
    cdef readonly dict counts
    cdef readonly list parked
    cdef dict counters
    cdef int64_t received
    cdef bytes origin  # its name with the union's branch; None: no origin
    cdef int64_t origin_lsn

    cdef int count_one(self, key) except -1


cdef inline Py_ssize_t size_of(bytes part) noexcept:
    """Return the size of bytes, or 0 of None."""
    return 0 if part is None else PyBytes_GET_SIZE(part)


cdef inline Record new_record(str topic, bytes value, bytes key):
    """Make a record for any partition, without headers."""
    cdef Record record = Record.__new__(Record)
    record.topic = topic
    record.value = value
    record.key = key
    record.partition = -1
    return record


cdef inline bytes framed(bytes prefix, bytes key):
    """Return a key behind its prefix, or None."""
    cdef bytes whole
    if key is None:
        return None
    whole = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(prefix) + PyBytes_GET_SIZE(key))
    copy_bytes(copy_bytes(<byte *> PyBytes_AS_STRING(whole), prefix), key)
    return whole
