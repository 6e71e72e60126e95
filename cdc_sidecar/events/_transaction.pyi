from cdc_sidecar.events import envelope, record

class Record(record.Record): ...
class SourceTransaction(envelope.SourceTransaction): ...

runs_of = record.runs_of
messages_of = record.messages_of
produce_each = record.produce_each
