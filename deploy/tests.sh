#!/usr/bin/env bash
# The tests of all crates, several at once: they mostly wait. Calls keep real time, though, and where all cores are taken a packet, a
# browser or a transcript comes late. What fails beside others is therefore tried once more with the machine to itself: failing there
# it fails, and passing there it is named, so that nobody takes it for one that is always right. Those named `alone::` measure time:
# they run after all others, two at once.
set -uo pipefail
cd "$(dirname "$0")/.."

# A change that breaks this much is no matter of a busy machine.
most=6
first=$(mktemp) again=$(mktemp)
trap 'rm -f "$first" "$again"' EXIT

# What `cargo test` with these words fails at, it gets a second time by itself.
tests() {
    cargo test --release --workspace --no-fail-fast "$@" 2>&1 | tee "$first"
    local rc=${PIPESTATUS[0]}
    [ "$rc" -eq 0 ] && return
    # The second of the two parts under that name is the list; what tests printed stands in the first.
    mapfile -t failed < <(awk '/^failures:$/ { split("", names); next }
        /^    [a-z0-9_]+(::[a-z0-9_]+)*$/ { names[$1] }
        /^test result:/ { for (name in names) print name; split("", names) }' "$first" | sort -u)
    # A program that died has no list of failures, what was not built none at all, and an example of the documentation another name.
    told=$(awk '/^test result: FAILED/ { sum += $6 } END { print sum + 0 }' "$first")
    if grep -q '(signal: ' "$first" || [ "$told" -ne "${#failed[@]}" ] || [ "${#failed[@]}" -eq 0 ] || [ "${#failed[@]}" -gt "$most" ]; then
        exit "$rc"
    fi
    echo "== by themselves: ${failed[*]}"
    cargo test --release --workspace --no-fail-fast -- --test-threads=1 --exact "${failed[@]}" 2>&1 | tee "$again"
    rc=${PIPESTATUS[0]}
    # Whoever was not found to run again did not pass.
    passed=$(awk '/^test result: ok/ { sum += $4 } END { print sum + 0 }' "$again")
    if [ "$rc" -ne 0 ] || [ "$passed" -lt "${#failed[@]}" ]; then
        exit 1
    fi
    echo "== failed beside others and passed by themselves: ${failed[*]}"
}

tests -- --test-threads=6 --skip alone::
tests --test scenarios alone:: -- --test-threads=2
