# cython: language_level=3
"""What takes the time of a verification and of a replay, compiled: the rows of a log, cut up; those that are plain; hashes.

A row is plain if it is in every respect as it was signed and tells nothing that has to be noted: nearly all are. Nothing is
found to be wrong here: at the first row that is not plain the loop stops, and `EventChecks.check` says what is the matter with
that one, if anything is. So all that `check` would find fault with must end the loop; a test turns every bit of a row. Where
this was not compiled (`fast_path.py`) every row goes to `check`, with the same verdict.

The server is not believed, and this is C: a length that it gives is looked at before anything is read by it.
"""

from cpython.buffer cimport Py_buffer, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.datetime cimport import_datetime, timedelta, timedelta_days, timedelta_microseconds, timedelta_seconds
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from datetime import UTC, datetime

import msgspec

from audit.log_rows import MICROSECONDS_BEFORE_2000, LogRow, parse_row
from shared.events import UNREADABLE, Envelope, canonical_into


cdef extern from *:
    unsigned long SOURCE_CHECKSUM  # given to the compiler: the CRC-32 of this file


cdef extern from "endian.h" nogil:
    uint32_t be32toh(uint32_t)
    uint32_t htobe32(uint32_t)
    uint64_t htobe64(uint64_t)
    uint64_t be64toh(uint64_t)


cdef extern from "openssl/evp.h" nogil:
    ctypedef struct EVP_MD
    ctypedef struct EVP_MD_CTX
    EVP_MD *EVP_MD_fetch(void *library, const char *algorithm, const char *properties)
    EVP_MD_CTX *EVP_MD_CTX_new()
    void EVP_MD_CTX_free(EVP_MD_CTX *)
    int EVP_DigestInit_ex2(EVP_MD_CTX *, const EVP_MD *, void *parameters)
    int EVP_DigestUpdate(EVP_MD_CTX *, const void *data, size_t size)
    int EVP_DigestFinal_ex(EVP_MD_CTX *, uint8_t *digest, unsigned int *size)


source_checksum = SOURCE_CHECKSUM
import_datetime()
_decode = msgspec.json.Decoder(Envelope).decode
_new_row = tuple.__new__  # as LogRow(…), without the call of its own that a named tuple makes for its arguments
_FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC)  # from which PostgreSQL counts
cdef EVP_MD *_SHA256 = EVP_MD_fetch(NULL, b"SHA256", NULL)  # fetched once: that takes longer than a hash

cdef const char *_DIGITS = b"0123456789abcdef"
cdef bytes _NO_ROW = b""
cdef bytes _NULL = b"\xff\xff\xff\xff"

cdef enum:
    HASH_BYTES = 32
    ID_BYTES = 16
    ID_CHARACTERS = 36
    SALT_BYTES = 16
    TIME_BYTES = 8
    TILE_WIDTH = 256
    # Where a value of a row stands, as `log_rows.FIXED` has it: two bytes count the values, four give the length of each.
    INDEX_AT = 6
    LEAF_AT = 18
    VERSION_AT = 54
    SCHEMA_VERSION_AT = 62
    OCCURRED_AT = 70
    EVENT_AT = 82
    ACCOUNT_AT = 102
    STREAM_BYTES_AT = 122
    TYPE_BYTES_AT = 130
    ENVELOPE_BYTES_AT = 138
    FIXED_BYTES = 142
    # An array begins with its length, the count of its dimensions, whether it has NULLs, the type of what is in it; then for
    # each dimension how many there are, and from where they are counted.
    EMPTY_ARRAY_BYTES = 16
    ARRAY_HEAD_BYTES = 24


cdef struct Cuts:
    # Where values of a row that have no fixed length begin, from its first byte; sums of 32 bits, which can't overflow.
    int64_t stream
    int64_t stream_bytes
    int64_t type
    int64_t type_bytes
    int64_t salted
    int64_t clear  # behind the salt: the envelope
    int64_t end


cdef class Hasher:
    """SHA-256 by OpenSSL, over and over in one context: what hashlib adds to it takes longer than a node of the tree does."""

    cdef EVP_MD_CTX *_context

    def __cinit__(self):
        self._context = EVP_MD_CTX_new()
        if self._context is NULL or _SHA256 is NULL:
            raise ImportError("OpenSSL gives no SHA-256")  # as it is configured here: Python's own will do

    def __dealloc__(self):
        EVP_MD_CTX_free(self._context)

    cdef int digest(self, const uint8_t *prefix, size_t prefix_size, const uint8_t *data, size_t size, uint8_t *out) except -1:
        """Puts the digest of both, one after the other, at `out`."""
        if (
            EVP_DigestInit_ex2(self._context, _SHA256, NULL) != 1
            or EVP_DigestUpdate(self._context, prefix, prefix_size) != 1
            or EVP_DigestUpdate(self._context, data, size) != 1
            or EVP_DigestFinal_ex(self._context, out, NULL) != 1
        ):
            raise RuntimeError("OpenSSL failed to make a digest")
        return 0


cdef Hasher _hasher = Hasher()


cdef class PlainRows:
    """The plain rows of one service's log. `plain`: the event types that tell nothing which has to be noted. `versions`: the
    last version of each stream, under account and name, which is kept here as well. `saw` is told an account and the index of
    an event of it, which none of its events before comes after."""

    cdef str _service
    cdef frozenset _plain
    cdef dict _versions
    cdef object _saw
    cdef bytearray _form

    def __init__(self, str service not None, plain, dict versions not None, saw):
        self._service = service
        self._plain = frozenset([name.decode() for name in plain])
        self._versions = versions
        self._saw = saw
        self._form = bytearray()

    def take(self, list rows not None, list entries not None, Py_ssize_t at):
        """Takes rows as long as each is plain and its commitment the signed entry beside it; `at` is the first one's index.
        How many were."""
        cdef Py_ssize_t begin = at, place
        cdef bytes row, signed, of = _NO_ROW
        cdef str account = None
        for place in range(min(len(rows), len(entries))):
            row, signed = rows[place], entries[place]
            if row is None or signed is None:
                raise TypeError("rows and entries are byte strings")
            envelope = self._envelope_of(row, signed, at)
            if envelope is None:
                break
            # events of one account often stand together
            if account is None or memcmp(_octets(row) + ACCOUNT_AT, _octets(of) + ACCOUNT_AT, ID_BYTES) != 0:
                if account is not None:
                    self._saw(account, at - 1)
                of, account = row, envelope.account
            at += 1
        if account is not None:
            self._saw(account, at - 1)
        return at - begin

    cdef object _envelope_of(self, bytes row, bytes signed, int64_t at):
        """The envelope of a row, which is noted as the last one of its stream; None where it is not plain."""
        cdef const uint8_t *octets = _octets(row)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(row)
        cdef Cuts cuts
        cdef int64_t envelope_bytes
        cdef uint8_t found[HASH_BYTES]
        if not _cut(octets, size, &cuts):
            return None
        envelope_bytes = cuts.end - cuts.clear

        if _int64(octets + INDEX_AT) != at or not _are_same(octets + LEAF_AT, HASH_BYTES, signed):
            return None
        _hasher.digest(NULL, 0, octets + cuts.salted, cuts.end - cuts.salted, found)
        if not _are_same(found, HASH_BYTES, signed):
            return None

        try:
            envelope = _decode(PyBytes_FromStringAndSize(<const char *>octets + cuts.clear, envelope_bytes))
        except UNREADABLE:
            return None
        canonical_into(envelope, self._form)
        if (
            PyByteArray_GET_SIZE(self._form) != envelope_bytes
            or memcmp(PyByteArray_AS_STRING(self._form), octets + cuts.clear, envelope_bytes) != 0
        ):
            return None
        if not _are_sealed(envelope.sealed, octets, cuts.end, size):
            return None

        version = _int32(octets + VERSION_AT)
        since = envelope.time - _FIRST_DAY
        if not (
            _is_text(envelope.stream, octets + cuts.stream, cuts.stream_bytes)
            and envelope.version == version
            and _is_text(envelope.type, octets + cuts.type, cuts.type_bytes)
            and envelope.type in self._plain
            and _is_id(envelope.event, octets + EVENT_AT)
            and _is_id(envelope.account, octets + ACCOUNT_AT)
            and envelope.schema == _int32(octets + SCHEMA_VERSION_AT)
            and _microseconds(since) == _int64(octets + OCCURRED_AT)
            and envelope.service == self._service
        ):
            return None
        key = _stream_key(octets, cuts.stream, cuts.stream_bytes)
        if self._versions.get(key, 0) + 1 != version:
            return None
        self._versions[key] = version
        return envelope


def parse_rows(list rows not None):
    """These rows of a COPY, each cut up, as `parse_row` does it."""
    return [_parsed(row) for row in rows]


def digest_of(data):
    """The SHA-256 of bytes or a view of bytes."""
    cdef Py_buffer octets
    cdef uint8_t found[HASH_BYTES]
    PyObject_GetBuffer(data, &octets, PyBUF_SIMPLE)
    try:
        _hasher.digest(NULL, 0, <const uint8_t *>octets.buf, octets.len, found)
    finally:
        PyBuffer_Release(&octets)
    return PyBytes_FromStringAndSize(<const char *>found, HASH_BYTES)


def leaf_hashes(list entries not None):
    """The leaves of a tree over these entries. RFC 6962, 2.1: the hash of a zero byte and the entry."""
    cdef uint8_t found[HASH_BYTES]
    cdef uint8_t prefix = 0
    cdef bytes entry
    leaves = []
    for entry in entries:
        if entry is None:
            raise TypeError("an entry is a byte string")
        _hasher.digest(&prefix, 1, _octets(entry), PyBytes_GET_SIZE(entry), found)
        leaves.append(PyBytes_FromStringAndSize(<const char *>found, HASH_BYTES))
    return leaves


def root_of_tile(list hashes not None):
    """The root over the 256 hashes of a full tile. RFC 6962, 2.1: a node is the hash of a one byte and the two below it."""
    cdef uint8_t nodes[TILE_WIDTH * HASH_BYTES]
    cdef uint8_t prefix = 1
    cdef Py_ssize_t place, width = TILE_WIDTH
    cdef bytes one
    if len(hashes) != TILE_WIDTH:
        raise ValueError(f"a full tile has {TILE_WIDTH} hashes, not {len(hashes)}")
    for place in range(TILE_WIDTH):
        one = hashes[place]
        if one is None:
            raise TypeError("a hash is a byte string")
        if PyBytes_GET_SIZE(one) != HASH_BYTES:
            raise ValueError(f"a hash has {HASH_BYTES} bytes")
        memcpy(nodes + place * HASH_BYTES, _octets(one), HASH_BYTES)
    while width > 1:
        width //= 2
        for place in range(width):  # in place: what a node is made of stands at or behind where it goes
            _hasher.digest(&prefix, 1, nodes + 2 * place * HASH_BYTES, 2 * HASH_BYTES, nodes + place * HASH_BYTES)
    return PyBytes_FromStringAndSize(<const char *>nodes, HASH_BYTES)


def ids_copied(values):
    """Ids as a binary COPY has them, each with its length before it. Raises `ValueError` where one is not written as one."""
    cdef uint8_t made[4 + ID_BYTES]
    cdef str value
    copied = []
    _put_length(made, ID_BYTES)
    for value in values:
        if value is None:
            copied.append(_NULL)
            continue
        if not _read_id(value, made + 4):
            raise ValueError("an id that is not written as one")
        copied.append(PyBytes_FromStringAndSize(<const char *>made, 4 + ID_BYTES))
    return copied


def times_copied(values):
    """Times as a binary COPY has them, each with its length before it. Raises `TypeError` where one has no offset."""
    cdef uint8_t made[4 + TIME_BYTES]
    cdef uint64_t since
    copied = []
    _put_length(made, TIME_BYTES)
    for value in values:
        if value is None:
            copied.append(_NULL)
            continue
        since = htobe64(<uint64_t>_microseconds(<timedelta?>(value - _FIRST_DAY)))
        memcpy(made + 4, &since, TIME_BYTES)
        copied.append(PyBytes_FromStringAndSize(<const char *>made, 4 + TIME_BYTES))
    return copied


# --


cdef inline void _put_length(uint8_t *at, uint32_t length) noexcept nogil:
    length = htobe32(length)
    memcpy(at, &length, sizeof(length))


cdef inline int _digit(char one) noexcept nogil:
    """What a hexadecimal digit stands for; -1 where it is none."""
    if c"0" <= one <= c"9":
        return one - c"0"
    if c"a" <= one <= c"f":
        return one - c"a" + 10
    return one - c"A" + 10 if c"A" <= one <= c"F" else -1


cdef bint _read_id(str text, uint8_t *into) except -1:
    """Puts the 16 bytes of an id there; False where the text is none."""
    cdef Py_ssize_t length, place, at = 0
    cdef int high, low
    cdef const char *letters = PyUnicode_AsUTF8AndSize(text, &length)
    if length != ID_CHARACTERS:
        return False
    for place in range(ID_BYTES):
        if place == 4 or place == 6 or place == 8 or place == 10:
            if letters[at] != b"-":
                return False
            at += 1
        high, low = _digit(letters[at]), _digit(letters[at + 1])
        if high < 0 or low < 0:
            return False
        into[place] = <uint8_t>(16 * high + low)
        at += 2
    return True


cdef bint _cut(const uint8_t *octets, Py_ssize_t size, Cuts *at) noexcept nogil:
    """Puts where the values of variable length are; False where a length is none, or they do not fit into the row."""
    cdef int64_t envelope_bytes
    if size < FIXED_BYTES:
        return False
    at.stream_bytes = _int32(octets + STREAM_BYTES_AT)
    at.type_bytes = _int32(octets + TYPE_BYTES_AT)
    envelope_bytes = _int32(octets + ENVELOPE_BYTES_AT)
    if at.stream_bytes < 0 or at.type_bytes < 0 or envelope_bytes < 0:
        return False
    at.stream = FIXED_BYTES + 4
    at.type = at.stream + at.stream_bytes + 4
    at.salted = at.type + at.type_bytes + 4
    at.clear = at.salted + SALT_BYTES
    at.end = at.clear + envelope_bytes
    return at.end <= size


cdef object _parsed(bytes row):
    """The usual row, with one sealed part, cut up; `parse_row` does any other."""
    cdef const uint8_t *octets
    cdef Py_ssize_t size
    cdef Cuts cuts
    cdef int64_t end, part
    if row is None:
        raise TypeError("a row is a byte string")
    octets = _octets(row)
    size = PyBytes_GET_SIZE(row)
    if not _cut(octets, size, &cuts):
        return parse_row(row)
    end = cuts.end
    part = end + ARRAY_HEAD_BYTES + 4
    if (
        part > size
        or _int32(octets + end + 4) != 1 or _int32(octets + end + 16) != 1 or _int32(octets + end + 20) != 1
        or part + _int32(octets + end + ARRAY_HEAD_BYTES) != size
    ):
        return parse_row(row)
    view = memoryview(row)
    return _new_row(LogRow, (
        _int64(octets + INDEX_AT), octets[LEAF_AT : LEAF_AT + HASH_BYTES], _int32(octets + VERSION_AT),
        _int32(octets + SCHEMA_VERSION_AT), _int64(octets + OCCURRED_AT) + MICROSECONDS_BEFORE_2000,
        octets[EVENT_AT : EVENT_AT + ID_BYTES], octets[ACCOUNT_AT : ACCOUNT_AT + ID_BYTES],
        octets[cuts.stream : cuts.stream + cuts.stream_bytes], octets[cuts.type : cuts.type + cuts.type_bytes],
        view[cuts.salted : end], octets[cuts.clear : end], (view[part:],),
    ))


cdef bint _are_sealed(list fields, const uint8_t *octets, int64_t at, int64_t end) except -1:
    """Whether the array at `at` has the parts that were signed, all of them, and nothing stands after it. That nothing is left
    over is what binds all lengths of a row."""
    cdef uint8_t found[HASH_BYTES]
    cdef int64_t length
    if at + EMPTY_ARRAY_BYTES > end or _int32(octets + at) != end - at - 4:
        return False
    if len(fields) == 0:
        return at + EMPTY_ARRAY_BYTES == end and _int32(octets + at + 4) == 0
    if (
        at + ARRAY_HEAD_BYTES > end
        or _int32(octets + at + 4) != 1
        or _int32(octets + at + 16) != len(fields)
        or _int32(octets + at + 20) != 1
    ):
        return False
    at += ARRAY_HEAD_BYTES
    for field in fields:
        if at + 4 > end:
            return False
        length = _int32(octets + at)
        at += 4
        if length < 0 or length > end - at:  # -1: it is pruned
            return False
        _hasher.digest(NULL, 0, octets + at, length, found)
        if not _is_hex(field.digest, found):
            return False
        at += length
    return at == end


cdef inline const uint8_t *_octets(bytes of) noexcept:
    return <const uint8_t *>PyBytes_AS_STRING(of)


cdef inline int32_t _int32(const uint8_t *at) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, sizeof(value))
    return <int32_t>be32toh(value)


cdef inline int64_t _int64(const uint8_t *at) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, at, sizeof(value))
    return <int64_t>be64toh(value)


cdef inline int64_t _microseconds(object since) except? -1:
    return timedelta_microseconds(since) + 1_000_000 * (timedelta_seconds(since) + <int64_t>86_400 * timedelta_days(since))


cdef inline bint _are_same(const uint8_t *at, Py_ssize_t size, bytes other) noexcept:
    return PyBytes_GET_SIZE(other) == size and memcmp(at, _octets(other), size) == 0


cdef inline bint _is_text(str text, const uint8_t *at, Py_ssize_t size) except -1:
    """Whether UTF-8 of so many bytes is this text."""
    cdef Py_ssize_t length
    cdef const char *octets = PyUnicode_AsUTF8AndSize(text, &length)
    return length == size and memcmp(octets, at, size) == 0


cdef inline bint _is_hex(str text, const uint8_t *at) except -1:
    """Whether a text is this hash in hexadecimal."""
    cdef Py_ssize_t length
    cdef const char *digits = PyUnicode_AsUTF8AndSize(text, &length)
    return length == 2 * HASH_BYTES and _are_digits(digits, at, HASH_BYTES)


cdef inline bint _is_id(str text, const uint8_t *at) except -1:
    """Whether a text is the id of these 16 bytes: digits with hyphens, as RFC 9562 writes it."""
    cdef Py_ssize_t length
    cdef const char *digits = PyUnicode_AsUTF8AndSize(text, &length)
    return (
        length == ID_CHARACTERS
        and _are_digits(digits, at, 4) and digits[8] == b"-"
        and _are_digits(digits + 9, at + 4, 2) and digits[13] == b"-"
        and _are_digits(digits + 14, at + 6, 2) and digits[18] == b"-"
        and _are_digits(digits + 19, at + 8, 2) and digits[23] == b"-"
        and _are_digits(digits + 24, at + 10, 6)
    )


cdef inline bint _are_digits(const char *digits, const uint8_t *at, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t place
    for place in range(size):
        if digits[2 * place] != _DIGITS[at[place] >> 4] or digits[2 * place + 1] != _DIGITS[at[place] & 15]:
            return False
    return True


cdef inline bytes _stream_key(const uint8_t *row, Py_ssize_t stream, Py_ssize_t size):
    """Account and name, as `StreamOrder` keeps a stream."""
    cdef bytes key = PyBytes_FromStringAndSize(NULL, ID_BYTES + size)
    cdef uint8_t *at = <uint8_t *>PyBytes_AS_STRING(key)
    memcpy(at, row + ACCOUNT_AT, ID_BYTES)
    memcpy(at + ID_BYTES, row + stream, size)
    return key
