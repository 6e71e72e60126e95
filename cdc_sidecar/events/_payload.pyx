# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled twin of `payload.encode`: same plan, same bytes, same refusals.

It reads the JSON into a tape of tokens and writes Avro from it, without a Python object for a
value. Whatever it does not know, it declines; then the plain twin encodes the payload or says what
is wrong with it.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.string cimport memcmp

from cdc_sidecar.events._avro cimport VARINT, byte, copy, copy_bytes, put_long
from cdc_sidecar.events._json cimport Token, have_different_names, is_utf8, scan, skip_space
from cdc_sidecar.events._scalars cimport (
    ARRAY, BYTES, ENUM, MAP, NULL_, OTHER, RECORD, SLACK, STRING, UNION,
    may_fit, put_scalar, unescape,
)

from cdc_sidecar.events.payload.encode import encode_payload
from cdc_sidecar.events.payload.nodes import Kind, walk

cdef dict _KINDS = {
    kind: code
    for code, kind in enumerate(
        (
            Kind.NULL, Kind.BOOLEAN, Kind.INT, Kind.LONG, Kind.FLOAT, Kind.DOUBLE, Kind.BYTES,
            Kind.STRING, Kind.ENUM, Kind.ARRAY, Kind.MAP, Kind.RECORD, Kind.UNION, Kind.DECIMAL,
            Kind.UUID, Kind.DATE, Kind.TIME_MILLIS, Kind.TIME_MICROS, Kind.TIMESTAMP_MILLIS,
            Kind.TIMESTAMP_MICROS, Kind.LOCAL_TIMESTAMP_MILLIS, Kind.LOCAL_TIMESTAMP_MICROS,
        ),
        NULL_,
    )
}  # in the order of `_scalars.pxd`

cdef enum:
    CHECKED = 32  # members of a map that are compared with each other


@cython.final
cdef class PayloadEncoder:
    """Encodes the payloads of one schema; see `ports.PayloadEncoder`."""

    def __cinit__(self, plan):
        cdef list nodes = walk(plan)
        parts = sum(len(node.parts) + len(node.tags) for node in nodes)
        self._room, self._found_room = 1024, 64
        self._steps = <Step *> PyMem_Malloc(len(nodes) * sizeof(Step))
        self._parts = <Part *> PyMem_Malloc(max(1, parts) * sizeof(Part))
        self._found = <Py_ssize_t *> PyMem_Malloc(self._found_room * sizeof(Py_ssize_t))
        self._out = <byte *> PyMem_Malloc(self._room)
        if not (self._steps and self._parts and self._found and self._out):
            raise MemoryError

    def __init__(self, plan):
        cdef Py_ssize_t number
        cdef Py_ssize_t first = 0
        cdef list nodes = walk(plan)
        places = {id(node): number for number, node in enumerate(nodes)}
        self._plan, self._texts = plan, []
        for number, node in enumerate(nodes):
            self._steps[number].scalar.kind = _KINDS.get(node.kind, OTHER)
            self._steps[number].scalar.size = node.size
            self._steps[number].scalar.precision = node.precision
            self._steps[number].scalar.scale = node.scale
            self._steps[number].first = first
            for name, inner, default in node.parts:
                self._set(first, name, places[id(inner)] if inner else 0, default)
                first += 1
            self._steps[number].count = first - self._steps[number].first
            for name in node.tags:
                self._set(first, name, 0, None)
                first += 1
            self._steps[number].tags = first

    cdef int _set(self, Py_ssize_t place, str name, Py_ssize_t node, bytes default) except -1:
        cdef bytes text = name.encode()
        self._texts += (text, default)
        self._parts[place].name, self._parts[place].size = text, PyBytes_GET_SIZE(text)
        self._parts[place].node = node
        self._parts[place].default = NULL if default is None else PyBytes_AS_STRING(default)
        self._parts[place].default_size = 0 if default is None else PyBytes_GET_SIZE(default)
        return 0

    def __dealloc__(self):
        PyMem_Free(self._steps)
        PyMem_Free(self._parts)
        PyMem_Free(self._found)
        PyMem_Free(self._tape.tokens)
        PyMem_Free(self._out)

    def encode(self, bytes text not None):
        """Return the Avro bytes of a payload; see `encode.encode_payload`."""
        cdef bytes encoded = self.encode_part(
            b"", <const byte *> PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
        )
        return encode_payload(self._plan, text) if encoded is None else encoded

    def try_encode(self, bytes text not None):
        """Return the Avro bytes, or None where the plain twin decides."""
        return self.encode_part(b"", <const byte *> PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))

    cdef bytes encode_part(self, bytes prefix, const byte *data, Py_ssize_t size):
        """Return the Avro bytes of a part of a frame behind a prefix; None as above."""
        cdef Py_ssize_t at
        self._tape.text, self._tape.end = data, size
        self._tape.count, self._tape.ascii, self._written = 0, True, 0
        at = scan(&self._tape, 0, 0)
        if at < 0 or skip_space(&self._tape, at) != self._tape.end:
            return None
        if not is_utf8(&self._tape):
            return None
        self._reserve(PyBytes_GET_SIZE(prefix))
        self._written = copy_bytes(self._out, prefix) - self._out
        if not self._write(0, 0, 0):
            return None
        return PyBytes_FromStringAndSize(<char *> self._out, self._written)

    cdef int _reserve(self, Py_ssize_t more) except -1:
        """Make sure that `more` bytes fit behind those that are written."""
        cdef Py_ssize_t room = self._room
        cdef byte *out
        if self._written + more > room:
            while room < self._written + more:
                room *= 2
            out = <byte *> PyMem_Realloc(self._out, room)
            if not out:
                raise MemoryError
            self._out, self._room = out, room
        return 0

    cdef int _put_long(self, Py_ssize_t number) except -1:
        self._reserve(VARINT)
        self._written += put_long(number, self._out + self._written)
        return 0

    cdef bint _write(self, Py_ssize_t place, Py_ssize_t at, Py_ssize_t found) except -1:
        """Write the value at a token by a step; return whether it was accepted.

        `found` is the number of tokens of fields that are kept for the records outside.
        """
        cdef Step *step = &self._steps[place]
        cdef Token *token = &self._tape.tokens[at]
        if step.scalar.kind == RECORD:
            return token.kind == c"{" and self._write_record(step, at, found)
        if step.scalar.kind == UNION:
            return self._write_union(step, at, found)
        if step.scalar.kind == ARRAY:
            return token.kind == c"[" and self._write_items(step, at, found)
        if step.scalar.kind == MAP:
            return token.kind == c"{" and self._write_members(step, at, found)
        if step.scalar.kind == ENUM:
            return self._write_symbol(step, token)
        return self._write_scalar(step, token)

    cdef bint _write_scalar(self, Step *step, Token *token) except -1:
        cdef const byte *text = self._tape.text + token.start
        cdef Py_ssize_t taken
        self._reserve(token.size + SLACK)
        if token.escaped:
            if step.scalar.kind != STRING:
                return False
            taken = unescape(text, token.size, self._out + self._written)
        else:
            if step.scalar.kind == BYTES and not self._tape.ascii:
                return False
            taken = put_scalar(&step.scalar, token.kind, text, token.size, self._out + self._written)
        if taken < 0:
            return False
        self._written += taken
        return True

    cdef bint _write_symbol(self, Step *step, Token *token) except -1:
        cdef Py_ssize_t number
        if token.kind != c"s" or token.escaped:
            return False
        for number in range(step.count):
            if self._is_named(&self._parts[step.first + number], token):
                self._put_long(number)
                return True
        return False

    cdef bint _is_named(self, Part *part, Token *token) noexcept:
        return part.size == token.size and (
            memcmp(part.name, self._tape.text + token.start, part.size) == 0
        )

    cdef bint _write_record(self, Step *step, Py_ssize_t at, Py_ssize_t found) except -1:
        cdef Py_ssize_t number, value
        cdef Part *part
        if not self._find_fields(step, at, found):
            return False
        for number in range(step.count):
            part, value = &self._parts[step.first + number], self._found[found + number]
            if value:
                if not self._write(part.node, value, found + step.count):
                    return False
            elif part.default == NULL:
                return False
            else:
                self._reserve(part.default_size)
                copy(self._out + self._written, part.default, part.default_size)
                self._written += part.default_size
        return True

    cdef bint _find_fields(self, Step *step, Py_ssize_t at, Py_ssize_t found) except -1:
        """Note the token of each field's value, 0 if there is none."""
        cdef Py_ssize_t member, number, tried
        cdef Py_ssize_t guess = 0
        self._keep(found + step.count)
        for number in range(step.count):
            self._found[found + number] = 0
        member = at + 1
        while member < self._tape.tokens[at].next:
            if self._tape.tokens[member].escaped:
                return False
            for tried in range(step.count):
                number = guess + tried if guess + tried < step.count else guess + tried - step.count
                if self._is_named(&self._parts[step.first + number], &self._tape.tokens[member]):
                    break
            else:
                return False
            if self._found[found + number]:
                return False
            self._found[found + number] = member + 1
            guess = number + 1
            member = self._tape.tokens[member + 1].next
        return True

    cdef int _keep(self, Py_ssize_t count) except -1:
        """Make sure that there is room for `count` tokens of fields."""
        cdef Py_ssize_t *found
        if count > self._found_room:
            found = <Py_ssize_t *> PyMem_Realloc(self._found, 2 * count * sizeof(Py_ssize_t))
            if not found:
                raise MemoryError
            self._found, self._found_room = found, 2 * count
        return 0

    cdef bint _write_items(self, Step *step, Py_ssize_t at, Py_ssize_t found) except -1:
        cdef Py_ssize_t item = at + 1
        cdef Py_ssize_t node = self._parts[step.first].node
        if self._tape.tokens[at].count:
            self._put_long(self._tape.tokens[at].count)
        while item < self._tape.tokens[at].next:
            if not self._write(node, item, found):
                return False
            item = self._tape.tokens[item].next
        self._put_long(0)
        return True

    cdef bint _write_members(self, Step *step, Py_ssize_t at, Py_ssize_t found) except -1:
        cdef Py_ssize_t member = at + 1
        cdef Py_ssize_t node = self._parts[step.first].node
        cdef Step key
        key.scalar.kind = STRING
        if not have_different_names(&self._tape, at, CHECKED):
            return False
        if self._tape.tokens[at].count:
            self._put_long(self._tape.tokens[at].count)
        while member < self._tape.tokens[at].next:
            if not self._write_scalar(&key, &self._tape.tokens[member]):
                return False
            if not self._write(node, member + 1, found):
                return False
            member = self._tape.tokens[member + 1].next
        self._put_long(0)
        return True

    cdef bint _write_union(self, Step *step, Py_ssize_t at, Py_ssize_t found) except -1:
        cdef Token *token = &self._tape.tokens[at]
        cdef Py_ssize_t number, tag
        cdef int kind
        if token.kind == c"{" and token.count == 1:
            if token[1].escaped:
                return False
            for tag in range(step.first + step.count, step.tags):
                if self._is_named(&self._parts[tag], token + 1):
                    return False
        for number in range(step.count):
            kind = self._steps[self._parts[step.first + number].node].scalar.kind
            if may_fit(kind, token.kind):
                break
        else:
            return False
        if kind == RECORD and self._objects(step) > 1:
            return False
        self._put_long(number)
        return self._write(self._parts[step.first + number].node, at, found)

    cdef int _objects(self, Step *step) noexcept:
        """Return how many branches of a union are objects in JSON."""
        cdef Py_ssize_t number
        cdef int objects = 0
        for number in range(step.count):
            objects += may_fit(
                self._steps[self._parts[step.first + number].node].scalar.kind, c"{"
            )
        return objects
