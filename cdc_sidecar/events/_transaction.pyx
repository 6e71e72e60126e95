# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled twins of `record.Record` and `envelope.SourceTransaction`."""

cimport cython
from libc.stdint cimport int64_t

from cdc_sidecar.events.binary import encode_string
from cdc_sidecar.events.record import ANY_PARTITION
from cdc_sidecar.events.record import Record as PlainRecord


@cython.final
@cython.no_gc  # text, bytes and lists of them form no cycle: the collector need not visit millions
cdef class Record:
    """One record for one topic; see `record.Record`."""

    def __init__(
        self, str topic, bytes value, bytes key, int partition=ANY_PARTITION, list headers=None,
        int64_t timestamp=0,
    ):
        self.topic = topic
        self.value = value
        self.key = key
        self.partition = partition
        self.headers = headers
        self.timestamp = timestamp

    @property
    def size(self):
        """Bytes of key, value and header values."""
        return _size_of_record(self)

    @property
    def batch_topic(self):
        """The topic, if the record can be produced in one call with others; else None."""
        return _batch_topic(self)

    def __eq__(self, other):
        if not isinstance(other, (Record, PlainRecord)):
            return NotImplemented
        return (
            self.topic == other.topic
            and self.value == other.value
            and self.key == other.key
            and self.partition == other.partition
            and self.headers == other.headers
            and self.timestamp == other.timestamp
        )

    __hash__ = None

    def __repr__(self):
        fields = (
            self.topic, self.value, self.key, self.partition, self.headers, self.timestamp
        )
        return "Record(%r, %r, %r, %r, %r, %r)" % fields


cdef inline str _batch_topic(Record record):
    return None if record.headers or record.timestamp or record.partition != -1 else record.topic


cdef Py_ssize_t _size_of_record(Record record) except -1:
    cdef Py_ssize_t size = size_of(record.value) + size_of(record.key)
    if record.headers is not None:
        for _, text in record.headers:
            size += len(text)
    return size


@cython.final
cdef class SourceTransaction:
    """One source transaction while it is assembled; see `ports.SourceTransaction`."""

    def __init__(self, final_lsn, xid, int64_t commit_time, int64_t received):
        self.received = received
        self.final_lsn = final_lsn
        self.xid = xid
        self.commit_time = commit_time
        self.lsn = -1
        self.records = []
        self.counts = {}
        self.parked = []
        self.counters = {}

    def set_origin(self, origin not None):
        """Accept the replication origin, which follows the Begin in a message of its own."""
        self.origin = b"\x02" + encode_string(origin.name)
        self.origin_lsn = origin.commit_lsn

    def resume(self, int64_t total_order, orders):
        """Continue the numbers after the events that an earlier session has published."""
        self.total_order = total_order
        self.counters = {name: [count] for name, count in orders.items()}

    def step(self, int64_t lsn):
        """Move the cursor to the next change."""
        if lsn == self.lsn:
            self.index += 1
        else:
            self.lsn = lsn
            self.index = 0

    @property
    def orders(self):
        """How many events of each data collection there are, in the order of their first ones."""
        return {collection: counter[0] for collection, counter in self.counters.items()}

    def count(self, key):
        """Add one to a count."""
        self.count_one(key)

    cdef int count_one(self, key) except -1:
        cdef object count = self.counts.get(key)
        self.counts[key] = 1 if count is None else count + 1
        return 0

    def append(self, route not None, bytes value, bytes key, list headers=None):
        """Add a record that has no number; `key` is without the route's prefix."""
        cdef bytes whole = framed(<bytes?> route.key_prefix, key)
        cdef Record record = new_record(<str?> route.topic, value, whole)
        cdef Py_ssize_t size
        record.headers = headers
        size = _size_of_record(record)
        if size > <Py_ssize_t> route.limit:
            raise route.too_large(size)
        self.records.append(record)
        self.size += size

    def add(self, record not None):
        """Add a record that was made and checked by its route."""
        self.records.append(record)
        self.size += <Py_ssize_t> record.size

    def release(self):
        """Drop records, counts and notes, because a batch has them now."""
        self.records = []
        self.counts = {}
        self.parked = []
        self.size = 0


def runs_of(records):
    """Divide records into runs of one topic; see `record.runs_of`."""
    cdef list runs = []
    cdef list run = None
    cdef str topic, last
    for record in records:
        topic = _batch_topic(<Record> record) if isinstance(record, Record) else record.batch_topic
        if run is None or topic != last:
            run, last = [], topic
            runs.append((topic, run))
        run.append(record)
    return runs


def messages_of(list records not None):
    """Return the records of one topic as dictionaries; see `record.messages_of`."""
    return [_message(record) for record in records]


cdef inline dict _message(record):
    cdef Record native
    if isinstance(record, Record):
        native = record
        return {"value": native.value, "key": native.key}
    return {"value": record.value, "key": record.key}


def produce_each(produce, list records not None, Py_ssize_t at):
    """Hand records to `produce`, from place `at` on; see `record.produce_each`."""
    cdef Py_ssize_t place
    for place in range(at, len(records)):
        try:
            _produce(produce, records[place])
        except BufferError:
            return place
    return len(records)


cdef object _produce(produce, record):
    """Hand on a record of either twin."""
    cdef Record native
    if isinstance(record, Record):  # its fields are read without a look-up by their names
        native = record
        return produce(
            native.topic, native.value, native.key, native.partition, None, None,
            native.timestamp, native.headers,
        )
    return produce(
        record.topic, record.value, record.key, record.partition, None, None, record.timestamp,
        record.headers,
    )
