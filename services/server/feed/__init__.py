"""The feed: record schemas, Faker value pools, the record generator, encoded batches and the schedule of due times."""
