#!/usr/bin/env bash
# Checks a verifier against the conformance kit: docs/conformance/check.sh COMMAND ...
#
# The command is run with each volumes folder as its last argument, and prints one summary per run as JSON.
# Only the fields with one right answer are compared (essence.jq); sentences and percentiles may differ.
# CASES selects some of the folders by a pattern: CASES='feed-*' are those of external feeds.
set -uo pipefail

kit=$(dirname "${BASH_SOURCE[0]}")
essence() { jq --sort-keys --from-file "$kit/essence.jq"; }

count=0 wrong=0
# The pattern is meant to be expanded.
# shellcheck disable=SC2086
for case in "$kit"/volumes/${CASES:-*}/; do
    count=$((count + 1))
    if ! diff <(essence <"$case/expected.json") <("$@" "$case" | essence); then
        wrong=$((wrong + 1))
        echo "^ $(basename "$case"): expected <, printed >"
    fi
done
echo "$((count - wrong)) of $count cases agree"
[ "$wrong" = 0 ]
