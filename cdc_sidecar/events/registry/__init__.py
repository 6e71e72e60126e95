"""The schema registry: ids of schemas, layouts of tables, and the records of the schemas topic."""
