#!/bin/bash
# Of a long watch the end is kept: --flight-recorder, --trigger, --max-size. No module is needed.
set -u
. "$(dirname "$0")/lib.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
cd "$tmp" || bail "no $tmp"
record=(vmaheap record --kernel=none)
# What a report says of the first process; of two moments at which it stood still it is the same.
books() { jq -cS '.spaces[0] | {functions, calls, live, doubts}' "$1"; }
begins() { vmaheap report --json "$1" | jq -r 'if .begins then "later" else "first" end'; }

# --- what is asked for
exits 125 "a size that is none" "${record[@]}" --flight-recorder=x -- true
like "$(cat said)" 'a size of 256K or more' "is refused"
exits 125 "a size that is too small" "${record[@]}" --max-size=4K -- true
exits 125 "both" "${record[@]}" --max-size=1M --flight-recorder=1M -- true
exits 125 "a trigger without a recorder" "${record[@]}" --trigger='rss>1M' -- true
exits 125 "rings of a size that there is not" "${record[@]}" --ring=5000 -- true
like "$(cat "$tmp/said")" 'a power of two from 4096' "is told which there are"
exits 125 "a trigger that the shell has taken the rest of" "${record[@]}" --flight-recorder=1M --trigger=rss -- true
like "$(cat said)" 'the shell takes the >' "it says so"
exits 125 "an age that is none" "${record[@]}" --max-age=soon -- true

# --- a dump while it runs, and one when it is killed
"${record[@]}" --flight-recorder=2M --trigger='vmas>20' --trigger='rss>1G' -o fly -- churn 2 600 >fly.out 2>fly.err &
recorder=$!
until_true 30 grep -q running fly.out || bail "the victim does not run"
pid=$(sed 's/running //' fly.out)
until_true 30 grep -q 'recorded is in fly.1' fly.err || bail "the trigger does not fire"
like "$(cat fly.err)" "vmas>20: process $pid \(churn\) has [0-9]+ VMAs" "the trigger says why"
ok "what it had then is a trace" vmaheap maps fly.1
until_true 30 sh -c "[ \$(vmaheap report --json -p $pid | jq .sum.calls) -gt 1000000 ]" || bail "it does not get on"
kill -STOP "$pid"
until_true 10 grep -q '^State:.*stopped' "/proc/$pid/status"
vmaheap report --json -p "$pid" >before.json
kill -USR1 $recorder
until_true 30 grep -q 'SIGUSR1: what was recorded is in fly.2' fly.err
is $? 0 "SIGUSR1: a dump"
vmaheap report --json -p "$pid" >after.json
vmaheap report --json fly.2 >dump.json
is "$(books before.json)" "$(books after.json)" "it stood still"
is "$(books dump.json)" "$(books before.json)" "the dump knows what the daemon knew, to the chunk"
is "$(begins fly.2)" later "though most of it was not kept"
size=$(du -sb fly.2 | cut -f1)
# Half of the 2 MiB at least. Both threads' rings (1 MiB each) may be taken at once, which is a segment then.
is "$((size > 1000000 && size < 6000000))" 1 "but of 2 MiB half were, and not all of 8 ($size)"
like "$(vmaheap report fly.2)" 'The trace begins at .* s: what was before was not kept' "report says it"
like "$(vmaheap script fly.2 | head -n 1)" 'what was before was not kept; alive: 1 address space' "script, too"
addr=$(vmaheap script --json fly.2 | jq -r 'select(.kind == "call" and .phase == "alloc") | .addr' | tail -n 1)
exits 125 "why --at a moment before" vmaheap why --at 0.000001 "$(printf %x "$addr")" fly.2
like "$(cat said)" 'this trace begins at' "it says so"
babeltrace2 fly.2 >bt 2>bt.err
is "$? $(wc -c <bt.err)" "0 0" "babeltrace2 reads it"
kill -KILL "$pid"
wait $recorder
is $? 137 "SIGKILL of the target: its status"
ok "what was recorded until then is there" vmaheap maps fly
is "$(vmaheap report --json fly | jq '.spaces[0].died != null')" true "its end included"
like "$(cat fly.err)" 'lost: 0$' "nothing was lost"
is "$(ls -d fly*)" "$(printf 'fly\nfly.1\nfly.2\nfly.err\nfly.out')" "and no more dumps than were asked for"

# --- the command is killed: the daemon writes what it has
"${record[@]}" --flight-recorder=1M -o alone -- churn 1 600 >alone.out 2>alone.err &
recorder=$!
until_true 30 grep -q running alone.out || bail "the victim does not run"
kill -KILL $recorder
wait $recorder
ok "SIGKILL of the command: the trace is there" until_true 30 vmaheap maps alone
kill "$(sed 's/running //' alone.out)"

# --- the daemon is killed: of what is on the disk the last packets are missing
"${record[@]}" --max-size=1M -o cut -- churn 2 600 >cut.out 2>cut.err &
recorder=$!
until_true 30 grep -q running cut.out || bail "the victim does not run"
until_true 30 sh -c 'ls -A cut | grep -q "^.state.[1-9]" && [ ! -e cut/.state.0 ]' || bail "nothing is thrown away"
kill -KILL "$(pgrep -P $recorder vmaheap)"
kill -KILL "$(sed 's/running //' cut.out)"
wait $recorder
vmaheap report cut >cut.report 2>cut.report.err
like "$(cat cut.report)" 'The trace begins at .* s: what was before was not kept' "SIGKILL of the daemon: the rest is read"
# SIGKILL ends a write(2) between two pages (mm/filemap.c, generic_perform_write()): one packet may be in part
short=$(sed -n 's/^vmaheap: the trace is truncated or damaged: \([0-9]*\) bytes could not be read, the rest is shown$/\1/p' cut.report.err)
is "$(wc -l <cut.report.err) $((${short:-0} < 65536))" "$([ -z "$short" ]; echo $?) 1" "and at most one packet is in part, which is said"

# --- no room
mkdir full full2
mount -t tmpfs -o size=2M none full && mount -t tmpfs -o size=2M none full2 || bail "no tmpfs"
"${record[@]}" --max-size=64M -o full/trace -- churn 1 5 >full.out 2>full.err
status=$?
"${record[@]}" --flight-recorder=64M -o full2/trace -- churn 1 5 >full2.out 2>full2.err
is "$status $?" "125 125" "a full disk: the status says so"
like "$(cat full.err)" 'events are not in the trace: No space left' "and the text, how much is missing"
like "$(cat full2.err)" 'not whole.*No space left' "and that a dump is not whole"
ok "what was written is read" vmaheap report full/trace
ok "that of a dump, too" vmaheap report full2/trace
umount full full2

# --- many short threads
"${record[@]}" -o threads -- alloc_churn 5000 >threads.out 2>threads.err
is $? 0 "many short threads"
like "$(cat threads.err)" 'lost: 0$' "nothing lost"
files=$(find threads -name 'alloc-*' | wc -l)
is $((files < 200)) 1 "and few files ($files)"
done_testing
