# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The native operations: each takes the text of one value as Postgres prints it, and writes Avro.

They are inlined into the compiled transcoder. An operation declines any other text.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cdc_sidecar.events._avro cimport byte, put_long, put_varint

cdef extern from "Python.h":
    double PyOS_string_to_double(const char *, char **, void *) except? -1.0

cdef enum:
    NOT_SENT
    PYTHON
    BYTES  # text, json, enum, uuid: copied as they are
    INTEGER
    BOOLEAN
    FLOAT4
    FLOAT8
    DECIMAL
    BYTEA
    DATE
    TIME
    TIMESTAMP
    TIMESTAMPTZ

cdef enum:
    DECLINED = -1  # not the text that Postgres prints: the Python operation decides
    ROOM = 16  # bytes that any number may take
    LONGEST_FLOAT = 40  # characters of a float's text


cdef inline Py_ssize_t _write_bytes(const byte *text, Py_ssize_t size, byte *out) noexcept:
    cdef Py_ssize_t head = put_varint(<uint64_t> size << 1, out)
    memcpy(out + head, text, size)
    return head + size


cdef inline bint read_digits(const byte *text, Py_ssize_t size, int64_t *number) noexcept:
    """Read 1 to 18 decimal digits."""
    cdef int64_t value = 0
    cdef Py_ssize_t at
    if size < 1 or size > 18:
        return False
    for at in range(size):
        if text[at] < c"0" or text[at] > c"9":
            return False
        value = value * 10 + (text[at] - c"0")
    number[0] = value
    return True


cdef inline Py_ssize_t _write_integer(const byte *text, Py_ssize_t size, byte *out) noexcept:
    cdef int64_t number
    if size > 1 and text[0] == c"-":
        if not read_digits(text + 1, size - 1, &number):
            return DECLINED
        return put_long(-number, out)
    if not read_digits(text, size, &number):
        return DECLINED
    return put_long(number, out)


cdef inline Py_ssize_t _write_decimal(
    const byte *text, Py_ssize_t size, int scale, byte *out
) noexcept:
    """Write the unscaled number: minimal big-endian two's complement."""
    cdef bint negative = size > 0 and text[0] == c"-"
    cdef Py_ssize_t first = 1 if negative else 0
    cdef Py_ssize_t whole = size - first - (scale + 1 if scale else 0)
    cdef int64_t number, fraction, power
    cdef Py_ssize_t length, at
    if whole < 1 or whole + scale > 18 or not read_digits(text + first, whole, &number):
        return DECLINED
    if scale:
        if text[first + whole] != c".":
            return DECLINED
        if not read_digits(text + first + whole + 1, scale, &fraction):
            return DECLINED
        power = 1
        for at in range(scale):
            power *= 10
        number = number * power + fraction
    if negative:
        number = -number
    length = 1
    while length < 8 and (number >> (8 * length - 1)) != 0 and (number >> (8 * length - 1)) != -1:
        length += 1
    out[0] = <byte> (length << 1)
    for at in range(length):
        out[1 + at] = <byte> (number >> (8 * (length - 1 - at)))
    return 1 + length


cdef inline int _two(const byte *text) noexcept:
    """Read two digits, or -1."""
    if text[0] < c"0" or text[0] > c"9" or text[1] < c"0" or text[1] > c"9":
        return -1
    return (text[0] - c"0") * 10 + (text[1] - c"0")


cdef inline bint read_days(const byte *text, int64_t *days) noexcept:
    """Read `YYYY-MM-DD` of years 1 to 9999; days since 1970 (Howard Hinnant's algorithm)."""
    cdef int century = _two(text)
    cdef int year = _two(text + 2)
    cdef int month = _two(text + 5)
    cdef int day = _two(text + 8)
    cdef int last, era, year_of_era, day_of_year
    if century < 0 or year < 0 or text[4] != c"-" or text[7] != c"-":
        return False
    year += century * 100
    if year < 1 or month < 1 or month > 12 or day < 1:
        return False
    last = 31
    if month == 4 or month == 6 or month == 9 or month == 11:
        last = 30
    elif month == 2:
        last = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    if day > last:
        return False
    if month <= 2:
        year -= 1
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    days[0] = (
        <int64_t> era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100
        + day_of_year - 719468
    )
    return True


cdef inline Py_ssize_t _write_date(const byte *text, Py_ssize_t size, byte *out) noexcept:
    cdef int64_t days
    if size != 10 or not read_days(text, &days):
        return DECLINED
    return put_long(days, out)


cdef inline bint read_clock(const byte *text, Py_ssize_t size, int last_hour, int64_t *micros) noexcept:
    """Read `HH:MM:SS[.f]` with at most six fraction digits."""
    cdef int hour, minute, second
    cdef int64_t fraction = 0
    cdef Py_ssize_t at
    if size < 8 or text[2] != c":" or text[5] != c":":
        return False
    hour, minute, second = _two(text), _two(text + 3), _two(text + 6)
    if hour < 0 or hour > last_hour or minute < 0 or minute > 59 or second < 0 or second > 59:
        return False
    if size > 8:
        if size == 9 or size > 15 or text[8] != c"." or not read_digits(text + 9, size - 9, &fraction):
            return False
        for at in range(15 - size):
            fraction *= 10
    micros[0] = (<int64_t> (hour * 60 + minute) * 60 + second) * 1000000 + fraction
    return True


cdef inline Py_ssize_t _write_time(const byte *text, Py_ssize_t size, byte *out) noexcept:
    cdef int64_t micros
    if not read_clock(text, size, 24, &micros):
        return DECLINED
    return put_long(micros, out)


cdef inline Py_ssize_t _write_timestamp(const byte *text, Py_ssize_t size, byte *out) noexcept:
    cdef int64_t days, micros
    if size < 19 or text[10] != c" " or not read_days(text, &days):
        return DECLINED
    if not read_clock(text + 11, size - 11, 23, &micros):
        return DECLINED
    return put_long(days * 86400000000 + micros, out)


cdef inline bint _short_double(const byte *text, Py_ssize_t size, double *number) noexcept:
    """Read a float of at most 15 digits without an exponent.

    Its digits as a whole number and the power of ten are exact doubles, so that their quotient is
    rounded once, as it must be.
    """
    cdef bint negative = size > 1 and text[0] == c"-"
    cdef Py_ssize_t at = 1 if negative else 0
    cdef Py_ssize_t digits = 0
    cdef int64_t whole = 0
    cdef double power = 0  # of ten; behind the point
    if size - at > 16 or text[size - 1] == c"." or text[at] == c".":
        return False
    while at < size:
        if text[at] == c"." and power == 0:
            power = 1
        elif c"0" <= text[at] <= c"9":
            whole = whole * 10 + (text[at] - c"0")
            power *= 10
            digits += 1
        else:
            return False
        at += 1
    if digits > 15:
        return False
    number[0] = <double> whole / power if power else <double> whole
    if negative:
        number[0] = -number[0]
    return True


cdef inline bint _double(const byte *text, Py_ssize_t size, double *number) except -1:
    """Read the text of a finite float, as Postgres prints it; a long one with Python's parser."""
    cdef char copy[LONGEST_FLOAT + 1]
    cdef char *end
    cdef Py_ssize_t at
    if size > 0 and _short_double(text, size, number):
        return True
    if size < 1 or size > LONGEST_FLOAT:
        return False
    for at in range(size):
        if not (
            c"0" <= text[at] <= c"9" or text[at] == c"-" or text[at] == c"+"
            or text[at] == c"." or text[at] == c"e"
        ):
            return False
    memcpy(copy, text, size)
    copy[size] = 0
    number[0] = PyOS_string_to_double(copy, &end, NULL)
    return end == &copy[size]


cdef inline Py_ssize_t _write_float8(const byte *text, Py_ssize_t size, byte *out) except -2:
    cdef double number
    cdef uint64_t bits
    if not _double(text, size, &number):
        return DECLINED
    memcpy(&bits, &number, 8)
    return _little(bits, 8, out)


cdef inline Py_ssize_t _write_float4(const byte *text, Py_ssize_t size, byte *out) except -2:
    """Write a float whose double is one exactly; where rounding is needed, Python decides."""
    cdef double number
    cdef float single
    cdef uint32_t bits
    if not _double(text, size, &number) or number > 3e38 or number < -3e38:
        return DECLINED
    single = <float> number
    if _rounds_twice(number, single):
        return DECLINED
    memcpy(&bits, &single, 4)
    return _little(bits, 4, out)


cdef inline bint _rounds_twice(double number, float single) noexcept:
    """Whether a double may lie half-way between two floats: rounding it may then be wrong."""
    cdef uint64_t bits
    memcpy(&bits, &number, 8)
    # a half-way double has the 29 bits below a float's 24 equal to 1 followed by zeros; subnormal
    # floats keep fewer bits: they are left to Python
    if number != 0 and -1.2e-38 < number < 1.2e-38:
        return True
    return (bits & 0x1FFFFFFF) == 0x10000000


cdef inline Py_ssize_t _little(uint64_t bits, Py_ssize_t size, byte *out) noexcept:
    cdef Py_ssize_t at
    for at in range(size):
        out[at] = <byte> (bits >> (8 * at))
    return size


cdef inline int _nibble(byte digit) noexcept:
    if c"0" <= digit <= c"9":
        return digit - c"0"
    if c"a" <= digit <= c"f":
        return digit - c"a" + 10
    return -1


cdef inline Py_ssize_t _write_bytea(const byte *text, Py_ssize_t size, byte *out) noexcept:
    cdef Py_ssize_t length = (size - 2) // 2
    cdef Py_ssize_t head, at
    cdef int high, low
    if size < 2 or size % 2 or text[0] != c"\\" or text[1] != c"x":
        return DECLINED
    head = put_varint(<uint64_t> length << 1, out)
    for at in range(length):
        high, low = _nibble(text[2 + 2 * at]), _nibble(text[3 + 2 * at])
        if high < 0 or low < 0:
            return DECLINED
        out[head + at] = <byte> (high << 4 | low)
    return head + length


cdef inline Py_ssize_t write(
    int operation, int scale, const byte *text, Py_ssize_t size, byte *out
) except -2:
    """Write one value; return the bytes written, or DECLINED. There is room for `size` + ROOM."""
    if operation == BYTES:
        return _write_bytes(text, size, out)
    if operation == INTEGER:
        return _write_integer(text, size, out)
    if operation == BOOLEAN:
        if size != 1 or (text[0] != c"t" and text[0] != c"f"):
            return DECLINED
        out[0] = text[0] == c"t"
        return 1
    if operation == DECIMAL:
        return _write_decimal(text, size, scale, out)
    if operation == TIMESTAMP:
        return _write_timestamp(text, size, out)
    if operation == TIMESTAMPTZ:
        if size < 3 or text[size - 3] != c"+" or text[size - 2] != c"0" or text[size - 1] != c"0":
            return DECLINED
        return _write_timestamp(text, size - 3, out)
    if operation == DATE:
        return _write_date(text, size, out)
    if operation == TIME:
        return _write_time(text, size, out)
    if operation == FLOAT8:
        return _write_float8(text, size, out)
    if operation == FLOAT4:
        return _write_float4(text, size, out)
    if operation == BYTEA:
        return _write_bytea(text, size, out)
    return DECLINED
