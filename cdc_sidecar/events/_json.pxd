# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""JSON as a tape of tokens, inlined into the compiled encoder of payloads.

RFC 8259. A text is read once. Any text that is not JSON, and nesting below `DEPTH`, ends the
reading with -1: the plain twin then says what is wrong.
"""

from cpython.mem cimport PyMem_Realloc
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy

from cdc_sidecar.events._avro cimport byte

cdef extern from *:
    """
    #define ONES 0x0101010101010101ULL
    #if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    #define FIRST_FLAGGED(flags) (__builtin_ctzll(flags) >> 3)
    #else
    #define FIRST_FLAGGED(flags) 0 /* the bytes are looked at one by one */
    #endif
    """
    const uint64_t ONES
    int FIRST_FLAGGED(uint64_t flags) noexcept

cdef enum:
    DEPTH = 64  # as `json_text.MAX_DEPTH`

cdef struct Token:
    byte kind  # n, t, f: null and booleans; i: an integer; d: another number; s, {, [
    bint escaped  # a string with escapes
    Py_ssize_t start  # of a string without its quotes, else of the whole value
    Py_ssize_t size  # likewise
    Py_ssize_t count  # values of an array, or members of an object
    Py_ssize_t next  # place of the token behind the whole value

cdef struct Tape:
    const byte *text
    Py_ssize_t end
    Token *tokens
    Py_ssize_t count
    Py_ssize_t room
    bint ascii


cdef inline Py_ssize_t add_token(Tape *tape, byte kind, Py_ssize_t start) except -1:
    """Add a token; return its place."""
    cdef Token *token
    if tape.count == tape.room:
        token = <Token *> PyMem_Realloc(tape.tokens, (2 * tape.room + 64) * sizeof(Token))
        if not token:
            raise MemoryError
        tape.tokens, tape.room = token, 2 * tape.room + 64
    token = &tape.tokens[tape.count]
    token.kind, token.start, token.size, token.count, token.escaped = kind, start, 0, 0, False
    tape.count += 1
    token.next = tape.count
    return tape.count - 1


cdef inline Py_ssize_t skip_space(Tape *tape, Py_ssize_t at) noexcept:
    cdef const byte *text = tape.text
    cdef Py_ssize_t end = tape.end
    while at < end and text[at] <= 32:  # a single comparison for most bytes
        if text[at] != 32 and text[at] != 10 and text[at] != 13 and text[at] != 9:
            break
        at += 1
    return at


cdef inline bint may_escape(byte letter) noexcept:
    return (
        letter == c'"' or letter == c"\\" or letter == c"/" or letter == c"b" or letter == c"f"
        or letter == c"n" or letter == c"r" or letter == c"t" or letter == c"u"
    )


cdef inline bint has_hexadecimals(Tape *tape, Py_ssize_t at) noexcept:
    """Return whether four hexadecimal digits follow."""
    cdef Py_ssize_t number
    if tape.end - at < 4:
        return False
    for number in range(at, at + 4):
        if not (
            c"0" <= tape.text[number] <= c"9" or c"a" <= (tape.text[number] | 32) <= c"f"
        ):
            return False
    return True


cdef inline uint64_t flag_special(const byte *text) noexcept:
    """Return 0 if the next eight bytes are ASCII without quote, backslash or control character.

    Otherwise the first such byte has its highest bit set, and no byte before it has.
    """
    cdef uint64_t eight, quotes, slashes
    memcpy(&eight, text, 8)
    quotes = eight ^ ONES * c'"'
    slashes = eight ^ ONES * c"\\"
    return ONES * 128 & (
        eight | quotes - ONES & ~quotes | slashes - ONES & ~slashes | eight - ONES * 32 & ~eight
    )


cdef inline Py_ssize_t scan_string(Tape *tape, Py_ssize_t at) except -2:
    """Read a string behind its first quote; return where it ends, behind the last one."""
    cdef Py_ssize_t place = add_token(tape, c"s", at)
    cdef const byte *text = tape.text
    cdef Py_ssize_t end = tape.end
    cdef uint64_t flags
    while at < end:
        if end - at >= 8:
            flags = flag_special(text + at)
            if not flags:
                at += 8
                continue
            at += FIRST_FLAGGED(flags)
        if text[at] == c'"':
            tape.tokens[place].size = at - tape.tokens[place].start
            return at + 1
        if text[at] < 32:
            return -1
        if text[at] == c"\\":
            tape.tokens[place].escaped = True
            at += 1
            if at >= end or not may_escape(text[at]):
                return -1
            if text[at] == c"u" and not has_hexadecimals(tape, at + 1):
                return -1
        elif text[at] > 127:
            tape.ascii = False
        at += 1
    return -1


cdef inline Py_ssize_t skip_digits(Tape *tape, Py_ssize_t at) noexcept:
    while at < tape.end and c"0" <= tape.text[at] <= c"9":
        at += 1
    return at


cdef inline Py_ssize_t scan_number(Tape *tape, Py_ssize_t at) except -2:
    cdef Py_ssize_t place = add_token(tape, c"i", at)
    cdef const byte *text = tape.text
    cdef Py_ssize_t first = at + (text[at] == c"-")
    at = skip_digits(tape, first)
    if at == first or (text[first] == c"0" and at > first + 1):
        return -1
    if at < tape.end and text[at] == c".":
        tape.tokens[place].kind = c"d"
        first = at + 1
        at = skip_digits(tape, first)
        if at == first:
            return -1
    if at < tape.end and (text[at] == c"e" or text[at] == c"E"):
        tape.tokens[place].kind = c"d"
        first = at + 1
        if first < tape.end and (text[first] == c"+" or text[first] == c"-"):
            first += 1
        at = skip_digits(tape, first)
        if at == first:
            return -1
    tape.tokens[place].size = at - tape.tokens[place].start
    return at


cdef inline Py_ssize_t scan_word(Tape *tape, Py_ssize_t at, const char *word) except -2:
    cdef Py_ssize_t place = add_token(tape, word[0], at)
    while word[0]:
        if at == tape.end or tape.text[at] != word[0]:
            return -1
        word += 1
        at += 1
    tape.tokens[place].size = at - tape.tokens[place].start
    return at


cdef inline Py_ssize_t scan(Tape *tape, Py_ssize_t at, int depth) except -2:
    """Read a value; return where it ends, or -1."""
    cdef byte first
    at = skip_space(tape, at)
    if at >= tape.end:
        return -1
    first = tape.text[at]
    if first == c'"':
        return scan_string(tape, at + 1)
    if first == c"{" or first == c"[":
        return -1 if depth == DEPTH else scan_inside(tape, at, depth + 1)
    if first == c"-" or c"0" <= first <= c"9":
        return scan_number(tape, at)
    if first == c"t":
        return scan_word(tape, at, b"true")
    if first == c"f":
        return scan_word(tape, at, b"false")
    return scan_word(tape, at, b"null")


cdef inline Py_ssize_t scan_inside(Tape *tape, Py_ssize_t at, int depth) except -2:
    """Read an object or an array."""
    cdef byte kind = tape.text[at]
    cdef byte last = c"}" if kind == c"{" else c"]"
    cdef Py_ssize_t place = add_token(tape, kind, at)
    at = skip_space(tape, at + 1)
    if at < tape.end and tape.text[at] == last:
        tape.tokens[place].size = at + 1 - tape.tokens[place].start
        return at + 1
    while True:
        if kind == c"{":
            at = skip_space(tape, at)
            if at >= tape.end or tape.text[at] != c'"':
                return -1
            at = scan_string(tape, at + 1)
            at = at if at < 0 else skip_space(tape, at)
            if at < 0 or at >= tape.end or tape.text[at] != c":":
                return -1
            at += 1
        at = scan(tape, at, depth)
        if at < 0:
            return -1
        tape.tokens[place].count += 1
        at = skip_space(tape, at)
        if at >= tape.end or (tape.text[at] != last and tape.text[at] != c","):
            return -1
        at += 1
        if tape.text[at - 1] == last:
            tape.tokens[place].next = tape.count
            tape.tokens[place].size = at - tape.tokens[place].start
            return at


cdef inline bint have_different_names(Tape *tape, Py_ssize_t at, Py_ssize_t most) noexcept:
    """Return whether the members of an object are few and known to have different names."""
    cdef Token *tokens = tape.tokens
    cdef Py_ssize_t member = at + 1
    cdef Py_ssize_t other
    if tokens[at].count > most:
        return False
    while member < tokens[at].next:
        if tokens[member].escaped:
            return False
        other = at + 1
        while other < member:
            if tokens[other].size == tokens[member].size and memcmp(
                tape.text + tokens[other].start,
                tape.text + tokens[member].start, tokens[member].size,
            ) == 0:
                return False
            other = tokens[other + 1].next
        member = tokens[member + 1].next
    return True


cdef inline bint is_utf8(Tape *tape) except -1:
    """Return whether a text that was scanned is valid UTF-8."""
    if not tape.ascii:
        try:
            PyUnicode_DecodeUTF8(<char *> tape.text, tape.end, NULL)
        except UnicodeDecodeError:
            return False
    return True
