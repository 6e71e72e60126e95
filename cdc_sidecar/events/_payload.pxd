# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled encoder of payloads, as the compiled router of outbox rows uses it."""

cimport cython

from cdc_sidecar.events._avro cimport byte
from cdc_sidecar.events._json cimport Tape, Token
from cdc_sidecar.events._scalars cimport Scalar


cdef struct Part:  # a field, a symbol, a branch or the name of a branch
    const char *name
    Py_ssize_t size
    Py_ssize_t node
    const char *default
    Py_ssize_t default_size


cdef struct Step:  # a node of the plan
    Scalar scalar
    Py_ssize_t first  # of its parts
    Py_ssize_t count
    Py_ssize_t tags  # names of its branches, behind the branches


@cython.final
cdef class PayloadEncoder:
    cdef object _plan
    cdef list _texts  # keeps what the parts point to
    cdef Step *_steps
    cdef Part *_parts
    cdef Tape _tape
    cdef Py_ssize_t *_found  # tokens of fields, of all records that are being written
    cdef Py_ssize_t _found_room
    cdef byte *_out
    cdef Py_ssize_t _room
    cdef Py_ssize_t _written

    cdef bytes encode_part(self, bytes prefix, const byte *data, Py_ssize_t size)
    cdef int _set(self, Py_ssize_t place, str name, Py_ssize_t node, bytes default) except -1
    cdef int _reserve(self, Py_ssize_t more) except -1
    cdef int _put_long(self, Py_ssize_t number) except -1
    cdef bint _write(self, Py_ssize_t place, Py_ssize_t at, Py_ssize_t found) except -1
    cdef bint _write_scalar(self, Step *step, Token *token) except -1
    cdef bint _write_symbol(self, Step *step, Token *token) except -1
    cdef bint _is_named(self, Part *part, Token *token) noexcept
    cdef bint _write_record(self, Step *step, Py_ssize_t at, Py_ssize_t found) except -1
    cdef bint _find_fields(self, Step *step, Py_ssize_t at, Py_ssize_t found) except -1
    cdef int _keep(self, Py_ssize_t count) except -1
    cdef bint _write_items(self, Step *step, Py_ssize_t at, Py_ssize_t found) except -1
    cdef bint _write_members(self, Step *step, Py_ssize_t at, Py_ssize_t found) except -1
    cdef bint _write_union(self, Step *step, Py_ssize_t at, Py_ssize_t found) except -1
    cdef int _objects(self, Step *step) noexcept
