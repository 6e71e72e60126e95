# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled twin of `outbox.rows.RowRouter`: same records, same refusals.

It makes the record of a row whose route and event type have occurred before. All other rows, and
those with anything unusual, go to the plain twin, which opens routes and types and says what is
wrong.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp

from cdc_sidecar.events._avro cimport VARINT, byte, copy, copy_bytes, put_varint
from cdc_sidecar.events._payload cimport PayloadEncoder
from cdc_sidecar.events._transaction cimport Record, SourceTransaction, new_record, size_of

from cdc_sidecar.events.outbox.rows import RowRouter as PlainRowRouter
from cdc_sidecar.postgres.frames import TUPLE_AT

cdef Py_ssize_t _TUPLE_AT = TUPLE_AT

cdef enum:
    ID
    AGGREGATETYPE
    AGGREGATEID
    TYPE
    PAYLOAD
    HEADERS  # the first of the optional ones

cdef tuple _ROLES = ("id", "aggregatetype", "aggregateid", "type", "payload")


cdef struct Part:  # the text of a column; NULL has no start
    const byte *start
    Py_ssize_t size


@cython.final
cdef class Route:
    """An open route: where the records of one aggregate type go."""

    cdef bytes name  # the aggregate type
    cdef str topic
    cdef bytes key_prefix
    cdef bytes value_prefix
    cdef Py_ssize_t limit

    def __init__(self, bytes name not None, route):
        self.name, self.topic, self.limit = name, route.topic, route.limit
        self.key_prefix, self.value_prefix = route.key_prefix, route.value_prefix


@cython.final
cdef class Kind:
    """An event type that has occurred."""

    cdef bytes name
    cdef tuple header
    cdef object count
    cdef bytes prefix  # None: that of the route
    cdef PayloadEncoder encoder  # None: the payload is copied
    cdef bint sized

    def __init__(self, bytes name not None, count, opened):
        self.name, self.header, self.count = name, ("type", name), count
        self.prefix, self.encoder, self.sized = opened.prefix, opened.encoder, opened.sized


@cython.final
cdef class RowRouter:
    """Routes the rows of one relation version; see `rows.RowRouter`."""

    cdef object _router
    cdef object _plain
    cdef Py_ssize_t _width
    cdef bint _is_simple
    cdef bint _is_constant  # the topic has no placeholder
    cdef bint _frames_keys
    cdef list _names  # of the optional headers
    cdef Py_ssize_t _count  # of the parts
    cdef Py_ssize_t *_roles  # the part of each column, or -1
    cdef Part *_parts
    cdef dict _routes
    cdef dict _kinds
    cdef Route _route  # the last one
    cdef Kind _kind  # likewise
    cdef SourceTransaction _transaction
    cdef tuple _commit  # the header of its LSN

    def __cinit__(self, router, places, Py_ssize_t width, *, binary):
        self._roles = <Py_ssize_t *> PyMem_Malloc(max(1, width) * sizeof(Py_ssize_t))
        self._parts = <Part *> PyMem_Malloc((HEADERS + len(places)) * sizeof(Part))
        if not (self._roles and self._parts):
            raise MemoryError

    def __init__(self, router, places, Py_ssize_t width, *, binary):
        cdef Py_ssize_t column
        headers = router.plain_headers
        self._router, self._width = router, width
        self._plain = PlainRowRouter(router, places, width, binary=binary)
        self._routes, self._kinds = {}, {}
        self._is_simple = headers is not None and not binary
        self._is_constant = "aggregatetype" not in places
        self._frames_keys = router.frames_keys
        roles = [*_ROLES, *(role for _, role in headers or ())]
        self._names = [name for name, _ in headers or ()]
        self._count = len(roles)
        for column in range(width):
            self._roles[column] = -1
        for number, role in enumerate(roles):
            if role in places and self._roles[places[role]] < 0:
                self._roles[places[role]] = number
            elif role in places:
                self._is_simple = False  # a column with two roles

    def __dealloc__(self):
        PyMem_Free(self._roles)
        PyMem_Free(self._parts)

    def add(self, SourceTransaction transaction not None, bytes frame not None):
        """Add the event of the row in an Insert; see `rows.RowRouter`."""
        if not (self._is_simple and self._read(frame) and self._add(transaction)):
            self._plain.add(transaction, frame)

    cdef bint _read(self, bytes frame) noexcept:
        """Find the texts of the columns; return whether the row is a usual one."""
        cdef const byte *data = <const byte *> PyBytes_AS_STRING(frame)
        cdef Py_ssize_t end = PyBytes_GET_SIZE(frame)
        cdef Py_ssize_t at = _TUPLE_AT + 2
        cdef Py_ssize_t column, length, number
        if at > end or (data[at - 2] << 8 | data[at - 1]) != self._width:
            return False
        for number in range(self._count):
            self._parts[number].start = NULL
        for column in range(self._width):
            if at >= end or (data[at] != c"t" and data[at] != c"n"):
                return False
            if data[at] == c"n":
                at += 1
                continue
            if end - at < 5:
                return False
            length = (
                (<uint32_t> data[at + 1] << 24) | (<uint32_t> data[at + 2] << 16)
                | (<uint32_t> data[at + 3] << 8) | data[at + 4]
            )
            at += 5
            if length > end - at:
                return False
            number = self._roles[column]
            if number >= 0:
                self._parts[number].start, self._parts[number].size = data + at, length
            at += length
        return at == end

    cdef bint _add(self, SourceTransaction transaction) except -1:
        """Add the record; return False if the plain twin shall do it."""
        cdef Route route = self._find_route()
        cdef Kind kind = self._find_kind()
        cdef bytes key, value, identifier
        cdef Record record
        cdef Py_ssize_t size
        if route is None or kind is None or self._parts[PAYLOAD].start == NULL:
            return False
        if self._parts[ID].start == NULL or self._parts[AGGREGATEID].start == NULL:
            return False
        value = self._value(route, kind)
        if value is None:
            return False
        key = _joined(route.key_prefix, &self._parts[AGGREGATEID], self._frames_keys)
        identifier = _text(&self._parts[ID])
        if transaction is not self._transaction:
            self._transaction, self._commit = transaction, ("commit_lsn", b"%d" % transaction.final_lsn)
        record = new_record(route.topic, value, key)
        record.headers = [("id", identifier), kind.header, self._commit]
        size = size_of(value) + size_of(key) + size_of(identifier) + size_of(kind.name)
        size += size_of(<bytes> self._commit[1]) + self._add_headers(record.headers)
        if size > route.limit:
            return False
        transaction.records.append(record)
        transaction.size += size
        transaction.count_one(kind.count)
        return True

    cdef Py_ssize_t _add_headers(self, list headers) except -1:
        """Add the optional headers that are not NULL; return the bytes of their texts."""
        cdef Py_ssize_t number
        cdef Py_ssize_t size = 0
        for number in range(HEADERS, self._count):
            if self._parts[number].start != NULL:
                headers.append((self._names[number - HEADERS], _text(&self._parts[number])))
                size += self._parts[number].size
        return size

    cdef bytes _value(self, Route route, Kind kind):
        cdef Part *payload = &self._parts[PAYLOAD]
        cdef bytes prefix = route.value_prefix if kind.prefix is None else kind.prefix
        if kind.encoder is not None:
            return kind.encoder.encode_part(prefix, payload.start, payload.size)
        return _joined(prefix, payload, kind.sized)

    cdef Route _find_route(self):
        """Return the route of the row's aggregate type, if it is open."""
        cdef Part *part = &self._parts[AGGREGATETYPE]
        cdef Route route = self._route
        if not self._is_constant and part.start == NULL:
            return None
        if route is not None and (self._is_constant or _is(part, route.name)):
            return route
        name = b"" if self._is_constant else _text(part)
        route = self._routes.get(name)
        if route is None:
            opened = self._router.routes.get(() if self._is_constant else (name,))
            if opened is None:
                return None
            route = self._routes[name] = Route(name, opened)
        self._route = route
        return route

    cdef Kind _find_kind(self):
        """Return the row's event type, if it has occurred."""
        cdef Part *part = &self._parts[TYPE]
        cdef Kind kind = self._kind
        if part.start == NULL:
            return None
        if kind is not None and _is(part, kind.name):
            return kind
        name = _text(part)
        kind = self._kinds.get(name)
        if kind is None:
            opened = self._router.open_values(name.decode())
            if opened is None:
                return None
            kind = self._kinds[name] = Kind(name, self._router.count_of(name.decode()), opened)
        self._kind = kind
        return kind


cdef inline bint _is(Part *part, bytes name) noexcept:
    return part.size == PyBytes_GET_SIZE(name) and (
        memcmp(part.start, PyBytes_AS_STRING(name), part.size) == 0
    )


cdef inline bytes _text(Part *part):
    return PyBytes_FromStringAndSize(<const char *> part.start, part.size)


cdef inline bytes _joined(bytes prefix, Part *part, bint sized):
    """Return a text behind a prefix, and behind its length if it is sized."""
    cdef byte head[VARINT]
    cdef Py_ssize_t taken = put_varint(<uint64_t> part.size << 1, head) if sized else 0
    cdef bytes whole = PyBytes_FromStringAndSize(
        NULL, PyBytes_GET_SIZE(prefix) + taken + part.size
    )
    cdef byte *out = copy_bytes(<byte *> PyBytes_AS_STRING(whole), prefix)
    copy(copy(out, head, taken), part.start, part.size)
    return whole
