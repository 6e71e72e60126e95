# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled encoders of JSON values that are neither objects nor arrays; see `payload.scalars`.

They are inlined into the compiled encoder of payloads, and decline what they do not know.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from cdc_sidecar.events._avro cimport VARINT, byte, put_long, put_varint
from cdc_sidecar.events._values cimport (
    DECIMAL as PG_DECIMAL,
    DECLINED,
    FLOAT4,
    FLOAT8,
    ROOM,
    read_clock,
    read_days,
    read_digits,
    write,
)

cdef enum:
    OTHER  # only the plain twin knows it
    NULL_
    BOOLEAN
    INT
    LONG
    FLOAT
    DOUBLE
    BYTES
    STRING
    ENUM
    ARRAY
    MAP
    RECORD
    UNION
    DECIMAL
    UUID
    DATE
    TIME_MILLIS
    TIME_MICROS
    TIMESTAMP_MILLIS
    TIMESTAMP_MICROS
    LOCAL_TIMESTAMP_MILLIS
    LOCAL_TIMESTAMP_MICROS

cdef enum:
    SLACK = ROOM + VARINT  # bytes that any value may take beyond its text
    LONGEST_DECIMAL = 18  # digits

cdef struct Scalar:  # a type, without its parts
    int kind
    int size
    int precision
    int scale


cdef inline bint may_fit(int kind, byte token) noexcept:
    """Return whether a plain JSON value may be one of a union's branch."""
    if kind == OTHER:
        return True
    if token == c"n":
        return kind == NULL_
    if token == c"t" or token == c"f":
        return kind == BOOLEAN
    if token == c"{":
        return kind == RECORD or kind == MAP
    if token == c"[":
        return kind == ARRAY
    if token == c"s":
        return kind == BYTES or kind == STRING or kind == ENUM or kind >= DECIMAL
    if token == c"d":
        return kind == FLOAT or kind == DOUBLE or kind == DECIMAL
    return INT <= kind <= DOUBLE or kind == DECIMAL or kind >= DATE


cdef inline Py_ssize_t put_scalar(
    Scalar *scalar, byte token, const byte *text, Py_ssize_t size, byte *out
) except -2:
    """Write a value without escapes; return the bytes written, or DECLINED."""
    cdef int kind = scalar.kind
    if kind == NULL_:
        return 0 if token == c"n" else DECLINED
    if kind == BOOLEAN:
        if token != c"t" and token != c"f":
            return DECLINED
        out[0] = token == c"t"
        return 1
    if token == c"i" or token == c"d":
        return put_number(scalar, token, text, size, out)
    if token != c"s":
        return DECLINED
    if kind == STRING or kind == BYTES or (kind == UUID and is_uuid(scalar, text, size)):
        return put_text(text, size, out)
    if kind == DECIMAL:
        return put_fixed_point(scalar, text, size, out)
    return put_moment(kind, text, size, out)


cdef inline Py_ssize_t put_text(const byte *text, Py_ssize_t size, byte *out) noexcept:
    cdef Py_ssize_t head = put_varint(<uint64_t> size << 1, out)
    memcpy(out + head, text, size)
    return head + size


cdef inline Py_ssize_t put_number(
    Scalar *scalar, byte token, const byte *text, Py_ssize_t size, byte *out
) except -2:
    cdef int64_t number
    cdef int kind = scalar.kind
    if kind == DOUBLE:
        return put_double(text, size, out)
    if kind == FLOAT:
        return write(FLOAT4, 0, text, size, out)
    if kind == DECIMAL:
        return put_fixed_point(scalar, text, size, out)
    if token != c"i" or not read_integer(text, size, &number):
        return DECLINED
    if kind == INT or kind == DATE:
        return put_long(number, out) if -2147483648 <= number <= 2147483647 else DECLINED
    if kind == LONG or kind >= TIMESTAMP_MILLIS:
        return put_long(number, out)
    return DECLINED


cdef inline Py_ssize_t put_double(const byte *text, Py_ssize_t size, byte *out) except -2:
    cdef uint64_t bits
    cdef Py_ssize_t taken = write(FLOAT8, 0, text, size, out)
    if taken == 8:
        memcpy(&bits, out, 8)
        if (bits >> 52) & 0x7FF == 0x7FF:  # an infinity: out of range
            return DECLINED
    return taken


cdef inline bint read_integer(const byte *text, Py_ssize_t size, int64_t *number) noexcept:
    cdef bint negative = text[0] == c"-"
    if not read_digits(text + negative, size - negative, number):
        return False
    if negative:
        number[0] = -number[0]
    return True


cdef inline Py_ssize_t put_fixed_point(
    Scalar *scalar, const byte *text, Py_ssize_t size, byte *out
) except -2:
    """Write a decimal after zeros were appended up to its scale."""
    cdef byte spelled[LONGEST_DECIMAL + 4]
    cdef Py_ssize_t point = 0
    cdef Py_ssize_t fraction, whole
    if scalar.size or size < 1 or size > LONGEST_DECIMAL:
        return DECLINED
    while point < size and text[point] != c".":
        point += 1
    whole = point - (text[0] == c"-")
    fraction = size - point - 1 if point < size else 0
    if fraction > scalar.scale or (fraction == 0 and point < size):
        return DECLINED
    if whole < 1 or whole + scalar.scale > scalar.precision or scalar.precision > LONGEST_DECIMAL:
        return DECLINED
    memcpy(spelled, text, size)
    if scalar.scale:
        spelled[point] = c"."
        while fraction < scalar.scale:
            fraction += 1
            spelled[point + fraction] = c"0"
        size = point + 1 + fraction
    return write(PG_DECIMAL, scalar.scale, spelled, size, out)


cdef inline bint is_uuid(Scalar *scalar, const byte *text, Py_ssize_t size) noexcept:
    """Return whether a text spells a uuid that is written as text."""
    cdef Py_ssize_t at
    cdef byte letter
    if scalar.size or size != 36:
        return False
    for at in range(36):
        letter = text[at]
        if at == 8 or at == 13 or at == 18 or at == 23:
            if letter != c"-":
                return False
        elif not (
            c"0" <= letter <= c"9" or c"a" <= letter <= c"f" or c"A" <= letter <= c"F"
        ):
            return False
    return True


cdef inline Py_ssize_t put_moment(
    int kind, const byte *text, Py_ssize_t size, byte *out
) noexcept:
    """Write a date, a time of day, or a timestamp of ISO 8601."""
    cdef int64_t days = 0
    cdef int64_t micros = 0
    if kind == DATE:
        if size != 10 or not read_days(text, &days):
            return DECLINED
        return put_long(days, out)
    if kind >= TIMESTAMP_MILLIS:
        if kind < LOCAL_TIMESTAMP_MILLIS:
            if size < 1 or text[size - 1] != c"Z":
                if size < 6 or text[size - 6] != c"+" or not is_zero_offset(text + size - 5):
                    return DECLINED
                size -= 5
            size -= 1
        if size < 19 or (text[10] != c"T" and text[10] != c" ") or not read_days(text, &days):
            return DECLINED
        text, size = text + 11, size - 11
    elif kind < TIME_MILLIS:
        return DECLINED
    if not read_clock(text, size, 23, &micros):
        return DECLINED
    micros += days * 86400000000
    if kind == TIME_MICROS or kind == TIMESTAMP_MICROS or kind == LOCAL_TIMESTAMP_MICROS:
        return put_long(micros, out)
    return DECLINED if micros % 1000 else put_long(micros // 1000, out)


cdef inline bint is_zero_offset(const byte *text) noexcept:
    """Return whether a text is `00:00`."""
    return (
        text[0] == c"0" and text[1] == c"0" and text[2] == c":"
        and text[3] == c"0" and text[4] == c"0"
    )


cdef inline Py_ssize_t unescape(const byte *text, Py_ssize_t size, byte *out) noexcept:
    """Write a string with escapes; its text is longer than what is written."""
    cdef byte *end = out + VARINT
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t head
    cdef byte *start = end
    cdef byte taken
    while at < size:
        if text[at] != c"\\":
            end[0] = text[at]
            end, at = end + 1, at + 1
            continue
        taken = unescape_one(text + at, size - at, &end)
        if taken == 0:
            return DECLINED
        at += taken
    head = put_varint(<uint64_t> (end - start) << 1, out)
    for at in range(end - start):
        out[head + at] = start[at]
    return head + (end - start)


cdef inline byte unescape_one(const byte *text, Py_ssize_t size, byte **end) noexcept:
    """Write one escape; return how many bytes of text it takes, 0 if it is declined."""
    cdef byte letter = text[1] if size > 1 else 0
    cdef int high, low
    if letter == c"u":
        high = hexadecimal(text + 2, size - 2)
        if high < 0 or 0xDC00 <= high < 0xE000:
            return 0
        if high < 0xD800 or high >= 0xE000:
            put_character(high, end)
            return 6
        if size < 12 or text[6] != c"\\" or text[7] != c"u":
            return 0
        low = hexadecimal(text + 8, 4)
        if low < 0xDC00 or low >= 0xE000:
            return 0
        put_character(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00, end)
        return 12
    letter = plain_escape(letter)
    if letter:
        end[0][0] = letter
        end[0] += 1
    return 2 if letter else 0


cdef inline byte plain_escape(byte letter) noexcept:
    if letter == c'"' or letter == c"\\" or letter == c"/":
        return letter
    if letter == c"n":
        return 10
    if letter == c"t":
        return 9
    if letter == c"r":
        return 13
    if letter == c"b":
        return 8
    return 12 if letter == c"f" else 0


cdef inline int hexadecimal(const byte *text, Py_ssize_t size) noexcept:
    """Read four hexadecimal digits, or -1."""
    cdef int number = 0
    cdef Py_ssize_t at
    if size < 4:
        return -1
    for at in range(4):
        if c"0" <= text[at] <= c"9":
            number = number * 16 + text[at] - c"0"
        elif c"a" <= (text[at] | 32) <= c"f":
            number = number * 16 + (text[at] | 32) - c"a" + 10
        else:
            return -1
    return number


cdef inline void put_character(int point, byte **end) noexcept:
    """Write a code point as UTF-8."""
    cdef byte *out = end[0]
    if point < 0x80:
        out[0] = <byte> point
        end[0] += 1
    elif point < 0x800:
        out[0], out[1] = <byte> (0xC0 | point >> 6), <byte> (0x80 | point & 0x3F)
        end[0] += 2
    elif point < 0x10000:
        out[0], out[1] = <byte> (0xE0 | point >> 12), <byte> (0x80 | point >> 6 & 0x3F)
        out[2] = <byte> (0x80 | point & 0x3F)
        end[0] += 3
    else:
        out[0], out[1] = <byte> (0xF0 | point >> 18), <byte> (0x80 | point >> 12 & 0x3F)
        out[2], out[3] = <byte> (0x80 | point >> 6 & 0x3F), <byte> (0x80 | point & 0x3F)
        end[0] += 4
