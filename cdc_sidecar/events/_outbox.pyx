# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled twins of `RowRouter` and `MessageRouter`: same records, same refusals.

They make the record of an event whose route and type have occurred before. All other events, and
those with anything unusual, go to the plain twins, which open routes and types and say what
is wrong.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint64_t
from libc.string cimport memcmp

from cdc_sidecar.events._avro cimport VARINT, byte, copy, copy_bytes, put_varint, read_length
from cdc_sidecar.events._json cimport Tape, Token, have_different_names, is_utf8, scan, skip_space
from cdc_sidecar.events._payload cimport PayloadEncoder
from cdc_sidecar.events._transaction cimport Record, SourceTransaction, new_record, size_of

from cdc_sidecar.events.outbox.messages import MessageRouter as PlainMessageRouter
from cdc_sidecar.events.outbox.rows import RowRouter as PlainRowRouter
from cdc_sidecar.postgres.frames import TUPLE_AT

cdef Py_ssize_t _TUPLE_AT = TUPLE_AT

cdef enum:
    MEMBERS = 32  # of a message, whose names are compared with each other

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


cdef class Records:
    """Makes the records of one outbox from the parts that a subclass has found."""

    cdef object _router
    cdef object _plain  # the plain twin of the subclass
    cdef bint _is_simple  # whether the events have nothing special
    cdef bint _is_constant  # the topic has no placeholder
    cdef bint _frames_keys
    cdef list _names  # of the optional headers
    cdef Py_ssize_t _count  # of the parts
    cdef Part *_parts
    cdef dict _routes
    cdef dict _kinds
    cdef Route _route  # the last one
    cdef Kind _kind  # likewise
    cdef SourceTransaction _transaction
    cdef tuple _commit  # the header of its LSN

    def __cinit__(self, router, *_arguments, **_more):
        headers = router.plain_headers or ()
        self._count = HEADERS + len(headers)
        self._parts = <Part *> PyMem_Malloc(self._count * sizeof(Part))
        if not self._parts:
            raise MemoryError
        self._router, self._routes, self._kinds = router, {}, {}
        self._is_simple = router.plain_headers is not None
        self._frames_keys = router.frames_keys
        self._names = [name for name, _ in headers]

    def __dealloc__(self):
        PyMem_Free(self._parts)

    cdef list _roles_of(self):
        """Return the role of each part."""
        return [*_ROLES, *(role for _, role in self._router.plain_headers or ())]

    cdef int _forget(self) except -1:
        """Make every part NULL."""
        cdef Py_ssize_t number
        for number in range(self._count):
            self._parts[number].start = NULL
        return 0

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


@cython.final
cdef class RowRouter(Records):
    """Routes the rows of one relation version; see `rows.RowRouter`."""

    cdef Py_ssize_t _width
    cdef Py_ssize_t *_roles  # the part of each column, or -1

    def __init__(self, router, places, Py_ssize_t width, *, binary):
        cdef Py_ssize_t column
        self._plain = PlainRowRouter(router, places, width, binary=binary)
        self._width = width
        self._is_simple = self._is_simple and not binary
        self._is_constant = "aggregatetype" not in places
        self._roles = <Py_ssize_t *> PyMem_Malloc(max(1, width) * sizeof(Py_ssize_t))
        if not self._roles:
            raise MemoryError
        for column in range(width):
            self._roles[column] = -1
        for number, role in enumerate(self._roles_of()):
            if role in places and self._roles[places[role]] < 0:
                self._roles[places[role]] = number
            elif role in places:
                self._is_simple = False  # a column with two roles

    def __dealloc__(self):
        PyMem_Free(self._roles)

    def add(self, SourceTransaction transaction not None, bytes frame not None):
        """Add the event of the row in an Insert; see `rows.RowRouter`."""
        if not (self._is_simple and self._read(frame) and self._add(transaction)):
            self._plain.add(transaction, frame)

    cdef bint _read(self, bytes frame) except -1:
        """Find the texts of the columns; return whether the row is a usual one."""
        cdef const byte *data = <const byte *> PyBytes_AS_STRING(frame)
        cdef Py_ssize_t end = PyBytes_GET_SIZE(frame)
        cdef Py_ssize_t at = _TUPLE_AT + 2
        cdef Py_ssize_t column, length, number
        if at > end or (data[at - 2] << 8 | data[at - 1]) != self._width:
            return False
        self._forget()
        for column in range(self._width):
            if at >= end or (data[at] != c"t" and data[at] != c"n"):
                return False
            if data[at] == c"n":
                at += 1
                continue
            if end - at < 5:
                return False
            length = read_length(data + at + 1)
            at += 5
            if length > end - at:
                return False
            number = self._roles[column]
            if number >= 0:
                self._parts[number].start, self._parts[number].size = data + at, length
            at += length
        return at == end


@cython.final
cdef class MessageRouter(Records):
    """Routes the messages of one prefix; see `messages.MessageRouter`."""

    cdef Tape _tape
    cdef list _members  # the names of each part

    def __init__(self, router, wanted, *, payload_as):
        self._plain = PlainMessageRouter(router, wanted, payload_as=payload_as)
        self._is_simple = self._is_simple and payload_as is None
        self._is_constant = "aggregatetype" not in wanted
        self._members = [
            tuple(name.encode() for name in wanted.get(role, ())) for role in self._roles_of()
        ]
        names = [name for entry in self._members for name in entry]
        if len(set(names)) < len(names) or any(len(entry) > 1 for entry in self._members):
            self._is_simple = False

    def __dealloc__(self):
        PyMem_Free(self._tape.tokens)

    def add(self, SourceTransaction transaction not None, bytes content not None):
        """Add the event of a message; see `messages.MessageRouter`."""
        if not (self._is_simple and self._read(content) and self._add(transaction)):
            self._plain.add(transaction, content)

    cdef bint _read(self, bytes content) except -1:
        """Find the members of the object; return whether it is a usual one."""
        cdef const byte *data = <const byte *> PyBytes_AS_STRING(content)
        cdef Py_ssize_t member = 1
        cdef Py_ssize_t at
        self._tape.text, self._tape.end = data, PyBytes_GET_SIZE(content)
        self._tape.count, self._tape.ascii = 0, True
        at = scan(&self._tape, 0, 0)
        if at < 0 or skip_space(&self._tape, at) != self._tape.end:
            return False
        if self._tape.tokens[0].kind != c"{" or not is_utf8(&self._tape):
            return False
        if not have_different_names(&self._tape, 0, MEMBERS):
            return False
        self._forget()
        while member < self._tape.count:
            if not self._take(&self._tape.tokens[member]):
                return False
            member = self._tape.tokens[member + 1].next
        return True

    cdef bint _take(self, Token *name) except -1:
        """Take the value of a member, if it is wanted; return whether it is a usual one."""
        cdef Token *value = name + 1
        cdef Part given = Part(self._tape.text + name.start, name.size)
        cdef Py_ssize_t number
        for number in range(self._count):
            for wanted in <tuple> self._members[number]:
                if _is(&given, <bytes> wanted):
                    return self._keep(&self._parts[number], value, number == PAYLOAD)
        return True

    cdef bint _keep(self, Part *part, Token *value, bint whole) noexcept:
        """Keep a text or a number, or as the payload the JSON of any value."""
        cdef bint quoted = value.kind == c"s"
        if value.kind == c"n":
            return True
        if not whole and (value.escaped or not (quoted or value.kind == c"i")):
            return False
        part.start = self._tape.text + value.start - (whole and quoted)
        part.size = value.size + 2 * (whole and quoted)
        return True


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
