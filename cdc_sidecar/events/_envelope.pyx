# cython: language_level=3, boundscheck=False, wraparound=False
"""The compiled twins of what `envelope.py` runs for each row and transaction: the same bytes."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from cdc_sidecar.events.binary import encode_string

cdef enum:
    DIGITS = 20  # of the largest LSN
    VARINT = 10  # bytes of the largest long
    NUMBERS = 8 * VARINT + 2 * DIGITS + 16  # more than all that is not a name

cdef bytes _NO_ORIGIN = b"\x00\x00"
cdef dict _OPS = {op: encode_string(op) for op in "cudrtm"}


cdef class SourceTransaction:
    """One source transaction while it is assembled; see `envelope.SourceTransaction`."""

    cdef readonly object final_lsn
    cdef readonly object xid
    cdef readonly int64_t commit_time
    cdef public int64_t total_order
    cdef public dict counters
    cdef public int64_t lsn
    cdef public int64_t index
    cdef public list records
    cdef public Py_ssize_t size
    cdef bytes _before
    cdef bytes _after
    cdef bytes _origin
    cdef int64_t _received
    cdef object _op
    cdef bytes _ending

    def __init__(
        self, source, *, final_lsn, xid, int64_t commit_time, int64_t received, origin=None
    ):
        self._before, self._after = source.encoded
        self._origin = _NO_ORIGIN
        self._received = received
        self.final_lsn = final_lsn
        self.xid = xid
        self.commit_time = commit_time
        self.counters = {}
        self.lsn = -1
        self.records = []
        if origin is not None:
            self.set_origin(origin)

    def set_origin(self, origin):
        """Take the replication origin, which follows the Begin in a message of its own."""
        self._origin = _NO_ORIGIN
        if origin is not None:
            self._origin = (
                b"\x02" + encode_string(origin.name) + b"\x02" + _long(origin.commit_lsn)
            )

    def counter(self, collection):
        """Return the one-item list that counts the events of a data collection."""
        return self.counters.setdefault(collection, [0])

    @property
    def orders(self):
        """How many events of each data collection there were so far."""
        return {collection: counter[0] for collection, counter in self.counters.items()}

    cpdef bytes ending(self, str op):
        """Return op and the outer times, encoded."""
        cdef int64_t now = self._received
        cdef char times[3 * (1 + VARINT)]
        cdef char *out = times
        if op != self._op:
            out = _put_some(_put_some(_put_some(out, now // 1000), now), now * 1000)
            self._op = op
            self._ending = <bytes> _OPS[op] + times[: out - times]
        return self._ending

    def message_ending(self):
        """Return op and the one outer time of a logical message, encoded."""
        return encode_string("m") + b"\x02" + _long(self._received // 1000)

    def add(self, tuple record, Py_ssize_t size):
        """Append one record of `size` bytes."""
        self.records.append(record)
        self.size += size


cdef class TableEnvelope:
    """The bytes of `source` and `transaction` for the events of one table.

    What is the same for a transaction stands in three pieces in a buffer: up to the length of
    `sequence`; from its end to the union branch of `lsn`; and what follows that LSN.
    """

    cdef object _collection
    cdef bytes _names
    cdef SourceTransaction _transaction
    cdef list _counter
    cdef char *_pieces
    cdef Py_ssize_t _room
    cdef Py_ssize_t _opening  # where each piece ends
    cdef Py_ssize_t _between
    cdef Py_ssize_t _closing
    cdef char _opened[DIGITS + 5]  # the beginning of `sequence`
    cdef Py_ssize_t _opened_size
    cdef uint64_t _lsn
    cdef bytes _source

    def __init__(self, str collection, str namespace, str table):
        self._collection = collection
        self._names = encode_string(namespace) + encode_string(table)

    def __dealloc__(self):
        PyMem_Free(self._pieces)

    cpdef bytes source(self, SourceTransaction transaction, uint64_t lsn):
        """Return `source` and the transaction's id; computed once for each change LSN."""
        if transaction is not self._transaction:
            self._enter(transaction)
        elif self._source is not None and lsn == self._lsn:
            return self._source
        self._write_source(lsn)
        return self._source

    cdef int _enter(self, SourceTransaction transaction) except -1:
        """Write what is the same for all events of a transaction."""
        cdef uint64_t final_lsn = transaction.final_lsn
        cdef bint alone = transaction.xid is None
        cdef uint64_t xid = 0 if alone else transaction.xid
        cdef char *out = self._reserve(transaction)
        out = _put(_copy(out, transaction._before), transaction.commit_time // 1000)
        out = _copy(out, transaction._after)
        out[0] = 2
        self._opening = out + 1 - self._pieces
        out = _append(out + 1, b'"]', 2)
        out = _put_some(_put_some(out, transaction.commit_time), transaction.commit_time * 1000)
        out = _copy(out, self._names)
        out[0] = 0
        out = out + 1 if alone else _put_some(out, xid)
        out[0] = 2
        self._between = out + 1 - self._pieces
        out[1] = 0
        out = _put_some(_copy(out + 2, transaction._origin), final_lsn)
        out[0] = 0
        out = out + 1 if alone else _put_block(out, xid, final_lsn)
        self._closing = out - self._pieces
        self._opened_size = _sequence(final_lsn, self._opened)
        self._counter = transaction.counter(self._collection)
        self._transaction = transaction
        self._source = None
        return 0

    cdef char *_reserve(self, SourceTransaction transaction) except NULL:
        """See that there is room for the pieces of a transaction."""
        cdef char *pieces
        cdef Py_ssize_t room = (
            PyBytes_GET_SIZE(transaction._before) + PyBytes_GET_SIZE(transaction._after)
            + PyBytes_GET_SIZE(self._names) + PyBytes_GET_SIZE(transaction._origin) + NUMBERS
        )
        if room > self._room:
            pieces = <char *> PyMem_Realloc(self._pieces, room)
            if not pieces:
                raise MemoryError
            self._pieces, self._room = pieces, room
        return self._pieces

    cdef int _write_source(self, uint64_t lsn) except -1:
        cdef char digits[DIGITS]
        cdef char sequence[VARINT]
        cdef char number[VARINT]
        cdef Py_ssize_t count = _decimal(lsn, digits)
        cdef Py_ssize_t length = _varint(<uint64_t> (self._opened_size + count + 2) << 1, sequence)
        cdef Py_ssize_t long_ = _varint(lsn << 1, number)
        cdef bytes source = PyBytes_FromStringAndSize(
            NULL, self._closing + length + self._opened_size + count + long_
        )
        cdef char *out = PyBytes_AS_STRING(source)
        out = _append(out, self._pieces, self._opening)
        out = _append(out, sequence, length)
        out = _append(out, self._opened, self._opened_size)
        out = _append(out, digits, count)
        out = _append(out, self._pieces + self._opening, self._between - self._opening)
        out = _append(out, number, long_)
        _append(out, self._pieces + self._between, self._closing - self._between)
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


cdef inline char *_append(char *out, const char *part, Py_ssize_t size) noexcept:
    memcpy(out, part, size)
    return out + size


cdef inline char *_copy(char *out, bytes part) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(part)
    memcpy(out, PyBytes_AS_STRING(part), size)
    return out + size


cdef inline char *_put(char *out, int64_t number) noexcept:
    """Write a long."""
    return out + _varint((<uint64_t> number << 1) ^ <uint64_t> (number >> 63), out)


cdef inline char *_put_some(char *out, int64_t number) noexcept:
    """Write a nullable long that is not null."""
    out[0] = 2
    return _put(out + 1, number)


cdef inline char *_put_block(char *out, uint64_t xid, uint64_t final_lsn) noexcept:
    """Write `transaction` up to its id, for one that is not null."""
    cdef char text[2 * DIGITS + 1]
    cdef Py_ssize_t size = _decimal(xid, text)
    text[size] = c":"
    size += 1 + _decimal(final_lsn, text + size + 1)
    out[0] = 2
    return _append(_put(out + 1, size), text, size)


cdef inline Py_ssize_t _sequence(uint64_t final_lsn, char *out) noexcept:
    """Write `sequence` up to the change LSN."""
    cdef Py_ssize_t size
    memcpy(out, b'["', 2)
    size = 2 + _decimal(final_lsn, out + 2)
    memcpy(out + size, b'","', 3)
    return size + 3


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
