#!/bin/bash
# run.sh - runs test programs, TEST_JOBS of them side by side (default 1), and sums up.
#
#     tests/run.sh LOGDIR PROGRAM...
#
# A program is a cmocka test (its result lines are counted), a fuzzer fuzz_* (one test; FUZZ_SECONDS long, corpus under $CORPUS, seeds in
# tests/corpus), a
# parity script *.py (run with the peers importable and the build folder $BUILD as its argument) or anything else that answers with its
# exit status. A program whose output ends
# with `N passed, N failed[, N skipped]` is taken at its word. Whatever it says, one that ends with an error has failed: tests that
# a crash kept from running count as failed too. What a failing program said is shown; all output stays in LOGDIR.
#
# The last line is `N passed, N failed`, with `, N skipped` when some were; the status is 1 if any failed or none ran.
set -u
logs=$1
shift
export XDG_CACHE_HOME # what training keeps for the user's next run must not come from an earlier test
XDG_CACHE_HOME=$(mktemp -d) || exit 1
trap 'rm -rf "$XDG_CACHE_HOME"' EXIT
mkdir -p "$logs"
limit=${TEST_SECONDS:-900} jobs=${TEST_JOBS:-1}

run_one() {
    local program=$1 name
    name=$(basename "$program")
    case $name in
    *.py)   timeout "$limit" tests/parity/peers.sh run "$program" "${BUILD:-build}" ;;
    fuzz_*) mkdir -p "$CORPUS/$name"
            "$program" -max_total_time="$FUZZ_SECONDS" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
                       -artifact_prefix="$CORPUS/$name-" "$CORPUS/$name" $(ls -d "tests/corpus/$name" 2> /dev/null) ;;
    *)      timeout "$limit" "$program" ;;
    esac
}

# cmocka names skipped and failed tests again at the end: only the first verdict after a RUN line counts.
verdicts() {
    awk -v want="$1" '/^\[ RUN  / { open = 1 }
                      open && /^\[ *(OK|SKIPPED|FAILED) *\]/ { n += $0 ~ want " *\\]"; open = 0 }
                      END { print n + 0 }' "$log"
}

# Runs one program, judges it, prints what there is to say in one piece and leaves `passed failed skipped` in NAME.count.
judge() {
    local program=$1 name log start status summary planned p f s
    name=$(basename "$program")
    log=$logs/$name.log
    start=$(date +%s)
    run_one "$program" > "$log" 2>&1 < /dev/null
    status=$?
    summary=$(grep -aE '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$log" | tail -n 1)
    planned=$(sed -n 's/^\[=*\] Running \([0-9]*\) test(s).*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    s=0
    if [ -n "$summary" ]; then
        read -r p _ f _ s _ <<< "${summary//,/} 0"
        [ -n "$s" ] || s=0
    elif [ "$planned" -gt 0 ]; then
        p=$(verdicts OK)
        s=$(verdicts SKIPPED)
        f=$((planned - p - s))
    else
        p=$((status == 0)) f=0
    fi
    [ "$status" = 0 ] || [ "$f" -gt 0 ] || f=1
    printf '%-32s %4d passed, %d failed%s  (%d s)\n' "$name" "$p" "$f" "$([ "$s" = 0 ] || echo ", $s skipped")" $(($(date +%s) - start))
    if [ "$f" -gt 0 ]; then
        echo "---- $log (exit status $status)"
        grep -anE '^\[  (ERROR|FAILED) |^\[   LINE  |ERROR: |runtime error|not ok' "$log" | head -n 20
        echo "---- its end"
        tail -n 40 "$log"
        echo "----"
    fi
    echo "$p $f $s" > "$logs/$name.count"
}

for program; do
    rm -f "$logs/$(basename "$program").count"
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    { text=$(judge "$program"); printf '%s\n' "$text"; } &
done
wait
passed=0 failed=0 skipped=0
for program; do
    count=$(cat "$logs/$(basename "$program").count" 2> /dev/null)
    read -r p f s <<< "${count:-0 1 0}" # no verdict: it was killed
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed$([ "$skipped" = 0 ] || echo ", $skipped skipped")"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
