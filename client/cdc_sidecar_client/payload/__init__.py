"""Events as JSON: Python values in, the JSON of their Avro schema out."""
