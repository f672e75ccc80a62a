"""Makes the records: schema, Faker pools, generator, encoded batches, and the times at which records are due."""
