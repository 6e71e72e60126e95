# cython: language_level=3, boundscheck=False, wraparound=False
"""The compiled twins of what `envelope.py` runs for each row and transaction: the same bytes."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from cdc_sidecar.events.binary import encode_string

cdef enum:
    DIGITS = 20  # of the largest LSN
    VARINT = 10  # bytes of the largest long


cdef class SourceTransaction:
    """One source transaction while it is assembled; see `envelope.SourceTransaction`."""

    cdef readonly object final_lsn
    cdef readonly object xid
    cdef readonly object commit_time
    cdef public int64_t total_order
    cdef public dict counters
    cdef public int64_t lsn
    cdef public int64_t index
    cdef public list records
    cdef public Py_ssize_t size
    cdef readonly bytes opening
    cdef readonly bytes times
    cdef readonly bytes transaction_id
    cdef readonly bytes closing
    cdef int64_t _received
    cdef object _op
    cdef bytes _ending

    def __init__(
        self, source, *, final_lsn, xid, int64_t commit_time, int64_t received, origin=None
    ):
        self._received = received
        self.final_lsn = final_lsn
        self.xid = xid
        self.commit_time = commit_time
        self.total_order = 0
        self.counters = {}
        self.lsn = -1
        self.index = 0
        self.records = []
        self.size = 0
        self.set_origin(origin)
        before, after = source.encoded
        self.opening = before + _long(commit_time // 1000) + after
        self.times = (
            b"\x02" + _long(commit_time) + b"\x02" + _long(commit_time * 1000)
        )
        self.transaction_id = b"\x00" if xid is None else b"\x02" + _long(xid)

    def set_origin(self, origin):
        """Take the replication origin, which follows the Begin in a message of its own."""
        cdef bytes known = b"\x00\x00"
        cdef bytes block = b"\x00"
        if origin is not None:
            known = (
                b"\x02" + encode_string(origin.name) + b"\x02" + _long(origin.commit_lsn)
            )
        if self.xid is not None:
            block = b"%d:%d" % (self.xid, self.final_lsn)
            block = b"\x02" + _long(len(block)) + block
        self.closing = b"\x00" + known + b"\x02" + _long(self.final_lsn) + block

    def counter(self, collection):
        """Return the one-item list that counts the events of a data collection."""
        return self.counters.setdefault(collection, [0])

    @property
    def orders(self):
        """How many events of each data collection there were so far."""
        return {collection: counter[0] for collection, counter in self.counters.items()}

    cpdef bytes ending(self, str op):
        """Return op and the outer times, encoded."""
        if op != self._op:
            now = self._received
            self._op = op
            self._ending = b"".join((
                encode_string(op), b"\x02", _long(now // 1000), b"\x02", _long(now), b"\x02",
                _long(now * 1000),
            ))
        return self._ending

    def message_ending(self):
        """Return op and the one outer time of a logical message, encoded."""
        return encode_string("m") + b"\x02" + _long(self._received // 1000)

    def add(self, tuple record, Py_ssize_t size):
        """Append one record of `size` bytes."""
        self.records.append(record)
        self.size += size


cdef class TableEnvelope:
    """The bytes of `source` and `transaction` for the events of one table."""

    cdef object _collection
    cdef bytes _names
    cdef SourceTransaction _transaction
    cdef list _counter
    cdef bytes _opening  # up to the length of `sequence`
    cdef bytes _opened  # the beginning of `sequence`
    cdef bytes _between  # from the end of `sequence` to the union branch of `lsn`
    cdef bytes _closing
    cdef uint64_t _lsn
    cdef bytes _source

    def __init__(self, str collection, str namespace, str table):
        self._collection = collection
        self._names = encode_string(namespace) + encode_string(table)

    cpdef bytes source(self, SourceTransaction transaction, uint64_t lsn):
        """Return `source` and the transaction's id; computed once for each change LSN."""
        if transaction is not self._transaction:
            self._enter(transaction)
        elif self._source is not None and lsn == self._lsn:
            return self._source
        self._write_source(lsn)
        return self._source

    cdef int _enter(self, SourceTransaction transaction) except -1:
        self._transaction = transaction
        self._counter = transaction.counter(self._collection)
        self._opening = transaction.opening + b"\x02"
        self._opened = b'["%d","' % transaction.final_lsn
        self._between = b"".join(
            (b'"]', transaction.times, self._names, transaction.transaction_id, b"\x02")
        )
        self._closing = transaction.closing
        self._source = None
        return 0

    cdef int _write_source(self, uint64_t lsn) except -1:
        cdef char digits[DIGITS]
        cdef char sequence[VARINT]
        cdef char number[VARINT]
        cdef Py_ssize_t count = _decimal(lsn, digits)
        cdef Py_ssize_t opened = PyBytes_GET_SIZE(self._opened)
        cdef Py_ssize_t length = _varint(<uint64_t> (opened + count + 2) << 1, sequence)
        cdef Py_ssize_t long_ = _varint(lsn << 1, number)
        cdef Py_ssize_t size = (
            PyBytes_GET_SIZE(self._opening) + length + opened + count
            + PyBytes_GET_SIZE(self._between) + long_ + PyBytes_GET_SIZE(self._closing)
        )
        cdef bytes source = PyBytes_FromStringAndSize(NULL, size)
        cdef char *out = PyBytes_AS_STRING(source)
        out = _copy(out, self._opening)
        memcpy(out, sequence, length)
        out = _copy(out + length, self._opened)
        memcpy(out, digits, count)
        out = _copy(out + count, self._between)
        memcpy(out, number, long_)
        _copy(out + long_, self._closing)
        self._lsn = lsn
        self._source = source
        return 0

    cdef Py_ssize_t _orders(self, SourceTransaction transaction, char *out) except -1:
        """Count one event and write both ordinals."""
        cdef int64_t total = transaction.total_order + 1
        cdef int64_t order = <int64_t> self._counter[0] + 1
        cdef Py_ssize_t size
        transaction.total_order = total
        self._counter[0] = order
        size = _varint(<uint64_t> total << 1, out)
        return size + _varint(<uint64_t> order << 1, out + size)

    def next_order(self, SourceTransaction transaction):
        """Count one event of the transaction given to `source` and return both ordinals."""
        cdef char orders[2 * VARINT]
        return PyBytes_FromStringAndSize(orders, self._orders(transaction, orders))

    def value(
        self, SourceTransaction transaction, uint64_t lsn, str op, bytes head, bytes row, bytes tail
    ):
        """Count one event and return its whole value."""
        cdef char orders[2 * VARINT]
        cdef Py_ssize_t count
        cdef bytes source = self.source(transaction, lsn)
        cdef bytes value
        cdef char *out
        cdef bytes ending = transaction.ending(op)
        count = self._orders(transaction, orders)
        value = PyBytes_FromStringAndSize(
            NULL,
            PyBytes_GET_SIZE(head) + PyBytes_GET_SIZE(row) + PyBytes_GET_SIZE(source) + count
            + PyBytes_GET_SIZE(ending) + PyBytes_GET_SIZE(tail),
        )
        out = _copy(_copy(_copy(PyBytes_AS_STRING(value), head), row), source)
        memcpy(out, orders, count)
        _copy(_copy(out + count, ending), tail)
        return value


cdef inline char *_copy(char *out, bytes part) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(part)
    memcpy(out, PyBytes_AS_STRING(part), size)
    return out + size


cdef inline Py_ssize_t _varint(uint64_t number, char *out) noexcept:
    cdef Py_ssize_t size = 0
    while number >= 0x80:
        out[size] = <char> (number | 0x80)
        number >>= 7
        size += 1
    out[size] = <char> number
    return size + 1


cdef inline bytes _long(int64_t number):
    cdef char out[VARINT]
    cdef uint64_t zigzag = (<uint64_t> number << 1) ^ <uint64_t> (number >> 63)
    return PyBytes_FromStringAndSize(out, _varint(zigzag, out))


cdef inline Py_ssize_t _decimal(uint64_t number, char *out) noexcept:
    cdef char reversed_[DIGITS]
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t at
    while True:
        reversed_[count] = <char> (48 + number % 10)
        number //= 10
        count += 1
        if number == 0:
            break
    for at in range(count):
        out[at] = reversed_[count - 1 - at]
    return count
