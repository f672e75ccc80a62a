# What every verifier must agree on: facts that have one right answer. Sentences, times and percentiles are left out.
{
  run, books, state, verdict,
  checks: [.checks[] | {name, ok}],
  totals: (.totals | {expected, received, missing, duplicates, reordered, corrupt, residual, blocks, bytes}),
  clients: [.clients[] | {client, state, expected, received, missing_ranges, missing_by_cause, torn}],
  faults: [.faults[] | {file, line, kind, client, missing}]
}
