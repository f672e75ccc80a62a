#!/usr/bin/env bash
# Holds a verifier to the kit: docs/conformance/check.sh COMMAND ...
#
# The command is run with each volumes folder as its last argument and prints one summary for each run, as JSON.
# Only the essence is compared, which has one right answer; sentences and percentiles are the verifier's own.
set -uo pipefail

kit=$(dirname "${BASH_SOURCE[0]}")
essence() { jq --sort-keys --from-file "$kit/essence.jq"; }

count=0 wrong=0
for case in "$kit"/volumes/*/; do
    count=$((count + 1))
    if ! diff <(essence <"$case/expected.json") <("$@" "$case" | essence); then
        wrong=$((wrong + 1))
        echo "^ $(basename "$case"): expected <, said >"
    fi
done
echo "$((count - wrong)) of $count cases agree"
[ "$wrong" = 0 ]
