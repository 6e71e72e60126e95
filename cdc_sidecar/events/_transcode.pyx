# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled twin of `transcode.py`: same plan, same interface, same bytes, same refusals.

Each common type has a native operation for the text that Postgres prints. Any other text goes to
the column's Python operation, so that both twins accept and refuse the same.
Every read is checked against the end of the frame first.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.string cimport memchr, memcpy

from cdc_sidecar.events._avro cimport byte, read_length
from cdc_sidecar.events._values cimport (
    BOOLEAN,
    BYTEA,
    BYTES,
    DATE,
    DECIMAL,
    DECLINED,
    FLOAT4,
    FLOAT8,
    INTEGER,
    NOT_SENT,
    PYTHON,
    ROOM,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    write,
)

import struct

from cdc_sidecar.events.copy_line import unescape
from cdc_sidecar.events.transcode import from_old, malformed, null_in_key, refused
from cdc_sidecar.events.values import (
    encode_boolean,
    encode_bytea,
    encode_date,
    encode_decimal,
    encode_float4,
    encode_float8,
    encode_integer,
    encode_time,
    encode_timestamp,
    encode_timestamptz,
)
from cdc_sidecar.events.binary import encode_bytes

_NATIVE = {
    encode_bytes: BYTES,
    encode_integer: INTEGER,
    encode_boolean: BOOLEAN,
    encode_float4: FLOAT4,
    encode_float8: FLOAT8,
    encode_bytea: BYTEA,
    encode_date: DATE,
    encode_time: TIME,
    encode_timestamp: TIMESTAMP,
    encode_timestamptz: TIMESTAMPTZ,
}


cdef struct Step:
    int operation
    bint nullable
    int scale
    Py_ssize_t begin  # of the value in the row, without its union branch
    Py_ssize_t end


@cython.final
cdef class Transcoder:
    """Walks the rows of one plan; used by one thread at a time."""

    cdef object _plan
    cdef bytes _width
    cdef list _operations
    cdef Py_ssize_t _count
    cdef Step *_steps
    cdef Py_ssize_t *_sent  # column of each place in the row
    cdef Py_ssize_t *_key  # columns of the key
    cdef Py_ssize_t _keys
    cdef byte *_row
    cdef Py_ssize_t _room
    cdef Py_ssize_t _written  # bytes of the row so far
    cdef Py_ssize_t _place  # of the next value among those that are sent
    cdef tuple _unchanged  # places of the values that the server did not send

    def __cinit__(self, plan):
        self._count = len(plan.steps)
        self._keys = len(plan.key)
        self._room = 1024
        self._steps = <Step *> PyMem_Malloc(max(1, self._count) * sizeof(Step))
        self._sent = <Py_ssize_t *> PyMem_Malloc(max(1, self._count) * sizeof(Py_ssize_t))
        self._key = <Py_ssize_t *> PyMem_Malloc(max(1, self._keys) * sizeof(Py_ssize_t))
        self._row = <byte *> PyMem_Malloc(self._room)
        if not (self._steps and self._sent and self._key and self._row):
            raise MemoryError

    def __init__(self, plan):
        cdef Py_ssize_t place = 0
        cdef Py_ssize_t column
        self._plan = plan
        self._width = plan.width
        self._operations = [operation for operation, _ in plan.steps]
        for column, (operation, nullable) in enumerate(plan.steps):
            self._steps[column].nullable = nullable
            self._steps[column].operation = NOT_SENT
            self._steps[column].scale = 0
            if operation is None:
                continue
            self._sent[place] = column
            place += 1
            if getattr(operation, "func", None) is encode_decimal:
                self._steps[column].operation = DECIMAL
                self._steps[column].scale = operation.args[0]
            else:
                self._steps[column].operation = _NATIVE.get(operation, PYTHON)
        for column, sent in enumerate(plan.key):
            self._key[column] = self._sent[sent]

    def __dealloc__(self):
        PyMem_Free(self._steps)
        PyMem_Free(self._sent)
        PyMem_Free(self._key)
        PyMem_Free(self._row)

    def transcode(self, bytes frame not None, Py_ssize_t start, Py_ssize_t old=-1):
        """Write the row of the TupleData at `start` of `frame`; see `transcode.Transcoder`."""
        cdef Py_ssize_t at = start + 2
        cdef Py_ssize_t column
        if start < 0 or at > PyBytes_GET_SIZE(frame) or frame[start:at] != self._width:
            raise malformed(frame)
        self._written = self._place = 0
        self._unchanged = ()
        try:
            for column in range(self._count):
                at = self._write_column(frame, at, column, old)
        except (IndexError, struct.error):
            raise malformed(frame) from None
        except (ValueError, KeyError, OverflowError) as error:
            raise refused(self._plan, self._place, error) from None
        return self._bytes(self._written), self._key_bytes(), self._unchanged, at

    def transcode_line(self, bytes line not None):
        """Write the row of a line of COPY; see `transcode.transcode_line`."""
        cdef const char *data = PyBytes_AS_STRING(line)
        cdef Py_ssize_t end = PyBytes_GET_SIZE(line) - 1  # of the last value, before the newline
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t column
        cdef Py_ssize_t stop
        cdef const char *tab
        cdef const char *escape = <const char *> memchr(data, 92, max(0, end))  # the next one
        self._written = self._place = 0
        try:
            for column in range(self._count):
                if at > end:
                    raise malformed(line)
                tab = <const char *> memchr(data + at, 9, end - at)
                stop = tab - data if tab else end
                if (tab == NULL) != (column == self._count - 1):
                    raise malformed(line)
                if escape == NULL or escape >= data + stop:
                    if self._steps[column].operation != NOT_SENT:
                        self._write_text(line, at, stop - at, column)
                else:
                    if self._steps[column].operation != NOT_SENT:
                        self._write_escaped(line, at, stop - at, column)
                    escape = <const char *> memchr(data + stop, 92, end - stop)
                at = stop + 1
        except (ValueError, KeyError, OverflowError) as error:
            raise refused(self._plan, self._place, error) from None
        return self._bytes(self._written), self._key_bytes()

    cdef int _write_escaped(
        self, bytes line, Py_ssize_t at, Py_ssize_t length, Py_ssize_t column
    ) except -1:
        """Write the value of `length` bytes at `at` of a line, which has a backslash."""
        cdef const char *data = PyBytes_AS_STRING(line) + at
        cdef bytes text
        if length == 2 and data[0] == 92 and data[1] == 78:
            self._written = self._append_null(&self._steps[column], self._written)
            self._place += 1
        else:
            text = unescape(line[at : at + length])
            self._write_text(text, 0, PyBytes_GET_SIZE(text), column)
        return 0

    cdef Py_ssize_t _write_column(
        self, bytes frame, Py_ssize_t at, Py_ssize_t column, Py_ssize_t old
    ) except -1:
        """Write one column, which starts at `at`; return where the next one starts."""
        cdef const byte *data = <const byte *> PyBytes_AS_STRING(frame)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(frame)
        cdef Step *step = &self._steps[column]
        cdef Py_ssize_t length
        if at >= size:
            raise malformed(frame)
        if data[at] == c"t":
            if size - at < 5:
                raise malformed(frame)
            length = read_length(data + at + 1)
            at += 5
            if length > size - at:
                raise malformed(frame)
            if step.operation != NOT_SENT:
                self._write_text(frame, at, length, column)
            return at + length
        if data[at] != c"n" and data[at] != c"u":
            raise malformed(frame)
        if step.operation != NOT_SENT:
            self._write_nothing(frame, step, old, data[at] == c"u")
        return at + 1

    cdef int _write_text(
        self, bytes frame, Py_ssize_t at, Py_ssize_t length, Py_ssize_t column
    ) except -1:
        """Write the text of `length` bytes at `at` as the next value."""
        cdef Step *step = &self._steps[column]
        cdef const byte *text = <const byte *> PyBytes_AS_STRING(frame) + at
        cdef Py_ssize_t taken
        self._reserve(self._written, length + ROOM)
        if step.nullable:
            self._row[self._written] = 2
            self._written += 1
        step.begin = self._written
        taken = write(step.operation, step.scale, text, length, self._row + self._written)
        if taken == DECLINED:
            part = self._operations[column](frame[at : at + length])
            self._written = self._append(self._written, part)
        else:
            self._written += taken
        step.end = self._written
        self._place += 1
        return 0

    cdef int _write_nothing(
        self, bytes frame, Step *step, Py_ssize_t old, bint unchanged
    ) except -1:
        """Write NULL, or for an unchanged value that of the old row, if it has one."""
        part = from_old(self._plan, frame, old, self._place) if unchanged else None
        if part is not None:
            step.begin = self._written
            self._written = self._append(self._written, part)
            step.end = self._written
        else:
            if unchanged:
                self._unchanged = (*self._unchanged, self._place)
            self._written = self._append_null(step, self._written)
        self._place += 1
        return 0

    cdef bytes _bytes(self, Py_ssize_t size):
        return PyBytes_FromStringAndSize(<char *> self._row, size)

    cdef object _key_bytes(self):
        """Return the key's values, which are never NULL and have no union branch."""
        cdef Step *step
        cdef Py_ssize_t number
        if self._keys == 0:
            return None
        step = &self._steps[self._key[0]]
        key = PyBytes_FromStringAndSize(<char *> self._row + step.begin, step.end - step.begin)
        for number in range(1, self._keys):
            step = &self._steps[self._key[number]]
            key += PyBytes_FromStringAndSize(
                <char *> self._row + step.begin, step.end - step.begin
            )
        return key

    cdef int _reserve(self, Py_ssize_t written, Py_ssize_t more) except -1:
        """Make sure that `more` bytes fit behind those that are written."""
        cdef Py_ssize_t room = self._room
        cdef byte *row
        if written + more <= room:
            return 0
        while room < written + more:
            room *= 2
        row = <byte *> PyMem_Realloc(self._row, room)
        if not row:
            raise MemoryError
        self._row, self._room = row, room
        return 0

    cdef Py_ssize_t _append(self, Py_ssize_t written, bytes part) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(part)
        self._reserve(written, size)
        memcpy(self._row + written, PyBytes_AS_STRING(part), size)
        return written + size

    cdef Py_ssize_t _append_null(self, Step *step, Py_ssize_t written) except -1:
        if not step.nullable:
            raise null_in_key()
        self._reserve(written, 1)
        self._row[written] = 0
        return written + 1


def largest_of(list rows not None):
    """Return the first of the rows with the most bytes; see `transcode.largest_of`."""
    cdef tuple row, largest = rows[0]
    cdef Py_ssize_t size, most = -1
    for row in rows:
        size = PyBytes_GET_SIZE(<bytes> row[0])
        if row[1] is not None:
            size += PyBytes_GET_SIZE(<bytes> row[1])
        if size > most:
            largest, most = row, size
    return largest
