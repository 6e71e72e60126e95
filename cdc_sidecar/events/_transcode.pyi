from cdc_sidecar.events import transcode

class Transcoder(transcode.Transcoder): ...

largest_of = transcode.largest_of
