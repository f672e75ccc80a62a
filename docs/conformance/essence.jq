# The fields on which every verifier must agree, since they have one right answer. Sentences and times are left out.
{
  run, books, state, verdict,
  checks: [.checks[] | {name, ok}],
  totals: (.totals | {expected, received, missing, duplicates, reordered, corrupt, residual, blocks, bytes,
    restarts, unsequenced, unreadable, gaps, repeated, without_key, without_time, ignored, pings}),
  clients: [.clients[] | {client, state, expected, received, missing_ranges, missing_by_cause, torn, restarts, gaps,
    connections: ((.connections // {}) | {count, refused, connected_ns, asked_ns})}],
  faults: [.faults[] | {file, line, kind, client, missing}]
}
