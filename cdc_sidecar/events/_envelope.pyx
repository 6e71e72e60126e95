# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled twin of `envelope.Envelope`: the same bytes, the same records, the same refusals.

An envelope compiles its layout into a program. A new transaction runs the program once and writes
the fields that all its events share into a buffer. An event then copies pieces of that buffer and
fills the slots between them.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport int64_t, uint64_t

from cdc_sidecar.events._avro cimport (
    DIGITS,
    VARINT,
    byte,
    copy,
    copy_bytes,
    put_decimal,
    put_nullable,
    put_varint,
)
from cdc_sidecar.events._slots cimport (
    AFTER,
    BEFORE,
    COLLECTION_ORDER,
    COMMIT_MS,
    CONSTANT,
    LSN,
    OP,
    OWN,
    PIECE,
    ROOM,
    SEQUENCE,
    SEQUENCE_ROOM,
    TOTAL_ORDER,
    put_slot,
)
from cdc_sidecar.events._transaction cimport SourceTransaction, framed, new_record, size_of

from cdc_sidecar.events.binary import EMPTY, encode_string
from cdc_sidecar.events.counts import Count, Counted
from cdc_sidecar.events.envelope import OPS
from cdc_sidecar.events.layout import OF_TRANSACTION, Slot

cdef dict _CODES = {
    **{slot: code for code, slot in enumerate(OF_TRANSACTION, COMMIT_MS)},
    Slot.SEQUENCE: SEQUENCE,
    Slot.LSN: LSN,
    Slot.BEFORE: BEFORE,
    Slot.AFTER: AFTER,
    Slot.OP: OP,
    Slot.TOTAL_ORDER: TOTAL_ORDER,
    Slot.COLLECTION_ORDER: COLLECTION_ORDER,
    Slot.UNCHANGED: OWN,
    Slot.MESSAGE: OWN,
}
cdef dict _OPS = {op: encode_string(op) for op in OPS}


cdef struct Step:
    int code
    Py_ssize_t start  # of a PIECE in the buffer
    Py_ssize_t size


@cython.final
cdef class Envelope:
    """Makes the events of one data collection; see `ports.Envelope`."""

    cdef object _route
    cdef str _topic
    cdef bytes _key_prefix
    cdef Py_ssize_t _limit
    cdef object _collection
    cdef dict _counted  # op → the key of its count
    cdef tuple _layout
    cdef Py_ssize_t _length  # of the layout
    cdef int *_program  # codes of the layout
    cdef Py_ssize_t _constants  # bytes of all constants
    cdef bint _rows  # whether there are BEFORE and AFTER
    cdef Step *_steps
    cdef Py_ssize_t _count
    cdef byte *_pieces
    cdef Py_ssize_t _room
    cdef Py_ssize_t _fixed  # bytes of all pieces
    cdef SourceTransaction _transaction
    cdef list _counter
    cdef int64_t _lsn
    cdef byte _opened[SEQUENCE_ROOM]  # the beginning of `sequence`
    cdef Py_ssize_t _opened_size
    cdef byte _sequence[SEQUENCE_ROOM]
    cdef Py_ssize_t _sequence_size
    cdef byte _change[VARINT]
    cdef Py_ssize_t _change_size
    cdef byte _total[VARINT]  # of the event that is written
    cdef Py_ssize_t _total_size
    cdef byte _order[VARINT]  # likewise
    cdef Py_ssize_t _order_size

    def __cinit__(self, collection, route, tuple layout not None):
        self._length = len(layout)
        self._program = <int *> PyMem_Malloc(max(1, self._length) * sizeof(int))
        self._steps = <Step *> PyMem_Malloc((2 * self._length + 1) * sizeof(Step))
        if not (self._program and self._steps):
            raise MemoryError

    def __init__(self, str collection not None, route, tuple layout not None):
        cdef Py_ssize_t number
        self._collection = collection
        self._route = route
        self._topic = route.topic
        self._key_prefix = route.key_prefix
        self._limit = route.limit
        self._counted = {op: Count(Counted.EVENTS, collection, op) for op in OPS}
        self._layout = layout
        self._lsn = -1
        slots = [part for part in layout if isinstance(part, Slot)]
        if len(set(slots)) != len(slots):
            raise ValueError("a slot occurs twice in the layout")  # there is room for one
        self._rows = Slot.BEFORE in slots
        for number, part in enumerate(layout):
            self._program[number] = _CODES[part] if isinstance(part, Slot) else CONSTANT
            if self._program[number] == CONSTANT:
                self._constants += len(part)

    def __dealloc__(self):
        PyMem_Free(self._program)
        PyMem_Free(self._steps)
        PyMem_Free(self._pieces)

    def append(
        self, SourceTransaction transaction not None, str op, bytes before, bytes after,
        bytes own not None, bytes key,
    ):
        """Encode an event, check it, give it its numbers, count it, and add its record."""
        self._add(transaction, op, before, after, own, key)
        transaction.count_one(self._counted[op])

    def append_rows(self, SourceTransaction transaction not None, list rows not None):
        """Append an `r` event for each row with its key; all are counted at once."""
        cdef Py_ssize_t number = 0
        cdef bytes row, key
        cdef object counted = self._counted["r"]
        try:
            for number in range(len(rows)):
                row, key = <tuple> rows[number]
                self._add(transaction, "r", None, row, EMPTY, key)
            number = len(rows)
        finally:
            if number:
                transaction.counts[counted] = transaction.counts.get(counted, 0) + number

    def encode(
        self, SourceTransaction transaction not None, str op, bytes before, bytes after,
        bytes own not None, int64_t ahead,
    ):
        """Return the value of the event that is `ahead` numbers after the last one."""
        return self._encode(transaction, op, before, after, own, ahead)

    def extend(self, SourceTransaction transaction not None, tuple ops, list records):
        """Give a number to one event for each op, count it, and add the records."""
        for op in ops:
            self._step_on(transaction)
            transaction.count_one(self._counted[op])
        for record in records:
            transaction.records.append(record)
            transaction.size += <Py_ssize_t> record.size

    cdef int _add(
        self, SourceTransaction transaction, str op, bytes before, bytes after, bytes own, bytes key
    ) except -1:
        """Append an event that is not counted yet."""
        cdef bytes value = self._encode(transaction, op, before, after, own, 1)
        cdef bytes whole = framed(self._key_prefix, key)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(value) + size_of(whole)
        if size > self._limit:
            raise self._route.too_large(size)
        self._step_on(transaction)
        transaction.records.append(new_record(self._topic, value, whole))
        transaction.size += size
        return 0

    cdef int _step_on(self, SourceTransaction transaction) except -1:
        """Take the next numbers of a transaction."""
        if transaction.xid is not None:
            if self._counter is None:
                self._counter = transaction.counters.setdefault(self._collection, [0])
            transaction.total_order += 1
            self._counter[0] = <int64_t> self._counter[0] + 1
        return 0

    cdef bytes _encode(
        self, SourceTransaction transaction, str op, bytes before, bytes after, bytes own,
        int64_t ahead,
    ):
        cdef bytes letter = <bytes> _OPS[op]
        cdef Py_ssize_t number
        cdef bytes value
        cdef byte *out
        if transaction is not self._transaction:
            self._enter(transaction)
        if transaction.lsn != self._lsn:
            self._move(transaction.lsn)
        self._count_on(ahead)
        value = PyBytes_FromStringAndSize(NULL, self._size(letter, before, after, own))
        out = <byte *> PyBytes_AS_STRING(value)
        for number in range(self._count):
            out = self._put(out, &self._steps[number], letter, before, after, own)
        return value

    cdef int _count_on(self, int64_t ahead) except -1:
        """Write the numbers of the event that is `ahead` numbers after the last one."""
        cdef int64_t total = self._transaction.total_order + ahead
        self._total_size = self._order_size = 0
        if self._transaction.xid is not None:
            self._total_size = put_varint(<uint64_t> total << 1, self._total)
            self._order_size = put_varint(<uint64_t> (self._ordered() + ahead) << 1, self._order)
        return 0

    cdef Py_ssize_t _size(self, bytes letter, bytes before, bytes after, bytes own) noexcept:
        """Return the bytes of an event."""
        cdef Py_ssize_t size = (
            self._fixed + self._sequence_size + self._change_size + self._total_size
            + self._order_size + PyBytes_GET_SIZE(letter) + PyBytes_GET_SIZE(own)
        )
        return size + 2 + size_of(before) + size_of(after) if self._rows else size

    cdef byte *_put(
        self, byte *out, Step *step, bytes letter, bytes before, bytes after, bytes own
    ) noexcept:
        """Write one step of an event."""
        if step.code == PIECE:
            return copy(out, self._pieces + step.start, step.size)
        if step.code == BEFORE:
            return put_nullable(out, before)
        if step.code == AFTER:
            return put_nullable(out, after)
        if step.code == SEQUENCE:
            return copy(out, self._sequence, self._sequence_size)
        if step.code == LSN:
            return copy(out, self._change, self._change_size)
        if step.code == TOTAL_ORDER:
            return copy(out, self._total, self._total_size)
        if step.code == COLLECTION_ORDER:
            return copy(out, self._order, self._order_size)
        return copy_bytes(out, letter if step.code == OP else own)

    cdef int64_t _ordered(self) except -1:
        """Return how many events of the collection the transaction has."""
        if self._counter is None:
            self._counter = self._transaction.counters.get(self._collection)
            if self._counter is None:
                return 0
        return self._counter[0]

    cdef int _enter(self, SourceTransaction transaction) except -1:
        """Write the fields that all events of a transaction share, and the steps of an event."""
        cdef byte *out = self._reserve(transaction)
        cdef byte *begun = out
        cdef Py_ssize_t number
        cdef int code
        self._transaction = None
        self._count = 0
        for number in range(self._length):
            code = self._program[number]
            if code == CONSTANT:
                out = copy_bytes(out, <bytes> self._layout[number])
            elif code < SEQUENCE:
                out = put_slot(code, transaction, out)
            else:
                self._add_piece(begun, out)
                begun = out
                self._steps[self._count].code = code
                self._count += 1
        self._add_piece(begun, out)
        self._fixed = out - self._pieces
        out = copy(self._opened, b'["', 2)
        out += put_decimal(transaction.final_lsn, out)
        self._opened_size = copy(out, b'","', 3) - self._opened
        self._counter = transaction.counters.get(self._collection)
        self._lsn = -1
        self._transaction = transaction
        return 0

    cdef void _add_piece(self, byte *begun, byte *ended) noexcept:
        """Add a step for the bytes that were written between two slots."""
        cdef Step *step = &self._steps[self._count]
        if ended != begun:
            step.code = PIECE
            step.start = begun - self._pieces
            step.size = ended - begun
            self._count += 1

    cdef byte *_reserve(self, SourceTransaction transaction) except NULL:
        """Make sure that there is room for the pieces of a transaction."""
        cdef Py_ssize_t room = self._constants + size_of(transaction.origin) + ROOM
        cdef byte *pieces
        if room > self._room:
            pieces = <byte *> PyMem_Realloc(self._pieces, room)
            if not pieces:
                raise MemoryError
            self._pieces, self._room = pieces, room
        return self._pieces

    cdef void _move(self, int64_t lsn) noexcept:
        """Write the fields that change with the change LSN."""
        cdef byte digits[DIGITS]
        cdef Py_ssize_t count = put_decimal(lsn, digits)
        cdef byte *out = self._sequence
        out += put_varint(<uint64_t> (self._opened_size + count + 2) << 1, out)
        out = copy(copy(out, self._opened, self._opened_size), digits, count)
        self._sequence_size = copy(out, b'"]', 2) - self._sequence
        self._change_size = put_varint(<uint64_t> lsn << 1, self._change)
        self._lsn = lsn
