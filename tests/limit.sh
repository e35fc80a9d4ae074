#!/bin/bash
# limit.sh SECONDS PROGRAM [ARGUMENT...] - runs a program and stops it when it hangs: exit status of the program, 124 when it was stopped.
#
# What is limited is work, not time, so that other work on the machine makes a program late but not wrong. SECONDS are of the processor time
# that the busiest thread had. Stopped as well: what has used none for IDLE_SECONDS (120), because it waits for something that will not
# come, and what takes 20 times SECONDS by the clock. Linux only: reads /proc.
set -u
limit=$1
shift

# Lines "thread ticks" of process $1 and its descendants: the processor time of each thread in clock ticks.
threads() {
    cat /proc/[0-9]*/stat 2>/dev/null | sed 's/(.*)/-/' | awk -v root="$1" '
        { parent[$1] = $4 }
        END { for (p in parent) { for (q = p; q != root && q > 1; q = parent[q]); if (q == root) print p } }' | while read -r pid; do
        cat /proc/"$pid"/task/*/stat 2>/dev/null
    done | sed 's/(.*)/-/' | awk '{ print $1, $14 + $15 }'
}

# The most ticks that one thread had between two such lists.
most_ticks() {
    printf '%s\n--\n%s\n' "$1" "$2" | awk '
        /^--/ { now = 1; next }
        !now { old[$1] = $2; next }
        $2 - old[$1] > most { most = $2 - old[$1] }
        END { print most + 0 }'
}

# Watches process group $1; ends it, with the reason on stderr and exit status 1, when it hangs.
watch() {
    local ticks start=$EPOCHSECONDS last_work=$EPOCHSECONDS used=0 before='' now most
    ticks=$(getconf CLK_TCK)
    while sleep 2; do
        now=$(threads "$1")
        most=$(most_ticks "$before" "$now")
        before=$now used=$((used + most))
        [ "$most" -eq 0 ] || last_work=$EPOCHSECONDS
        if [ $used -ge $((limit * ticks)) ]; then
            echo "stopped after $limit s of processor time" >&3
        elif [ $((EPOCHSECONDS - last_work)) -ge "${IDLE_SECONDS:-120}" ]; then
            echo "stopped after $((EPOCHSECONDS - last_work)) s without work" >&3
        elif [ $((EPOCHSECONDS - start)) -ge $((20 * limit)) ]; then
            echo "stopped after $((20 * limit)) s" >&3
        else
            continue
        fi
        trap '' TERM # from here on it is over
        kill -TERM -- "-$1"
        sleep 3
        kill -KILL -- "-$1"
        exit 1
    done
}

set -m # process groups, so that children end with their parent
"$@" <&0 &
program=$!
watch $program 3>&2 </dev/null >/dev/null 2>&1 &
watcher=$!
trap 'kill -TERM -- "-$program" "-$watcher"; exit 143' INT TERM HUP
wait $program 2>/dev/null
status=$?
kill -TERM -- "-$watcher" 2>/dev/null
wait $watcher 2>/dev/null
[ $? -ne 1 ] || status=124
exit $status
