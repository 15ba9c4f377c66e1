#!/bin/bash
# vmaheap top: on a terminal of 80x24 and of other sizes, what it shows, and what it leaves; and its
# lines for scripts. It needs the module where there is one to load; else it makes do without.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/screen.sh"

repo=$(cd "$(dirname "$0")/../.." && pwd)
victims=$repo/build/tests/victims
side=()
if in_guest; then load; else side=(--kernel=none); fi
export LC_ALL=C.UTF-8
cd "$tmp" || bail "no $tmp"

# --- nothing to show
exits 125 "no terminal" vmaheap top </dev/null
like "$(cat "$tmp/said")" 'no terminal: vmaheap top -b' "is told of -b"
exits 125 "no such process" vmaheap top -b -p 999999999
exits 125 "nonsense" vmaheap top -d never
like "$(vmaheap top -b -n 1)" '^nothing is watched: vmaheap record' "where nothing is watched, it says what to do"
is "$(vmaheap top --json -n 2)" $'[]\n[]' "a list of nothing, twice"
terminal 24 80 env TERM=nonsense vmaheap top
ends "a terminal that nobody knows" 125
terminal 24 80 vmaheap top
sees "on a screen, too" '^nothing is watched'
tell 'keys q'
ends q 0

# --- two processes: one stands still, one works
mkfifo to from
vmaheap record "${side[@]}" -o still -- "$victims/heaps" 7 3 <to >from 2>still.err &
exec 8>to 9<from
read -r -t 60 answer <&9 && [ "$answer" = ready ] || bail "heaps: not ready"
cat >work.py <<-'END'
	import time
	keep = []
	while True:
	    keep = [bytearray(n * 100) for n in range(500)] # some have mappings of their own
	    time.sleep(0.01)
END
PYTHONMALLOC=malloc vmaheap record "${side[@]}" -o busy -- /usr/bin/python3 work.py 2>busy.err &
listed() { vmaheap top --json -n 1 | jq -en 'input | length == 2 and all(.[]; .calls.calls > 100)'; }
until_true 30 listed || bail "not both are watched: $(vmaheap top --json -n 1)"
read -r still busy < <(vmaheap top --json -n 1 | jq -r 'sort_by(.comm) | map(.pid) | join(" ")')

is "$(vmaheap top --json -n 1 -p "$still" | jq -c '[.comm, .live, .functions, .syscalls, .allocator]')" \
	"$(vmaheap report --json -p "$still" | jq -c '.spaces[0] | [.comm, .live, .functions, .syscalls, .allocator]')" \
	"the list says what report says"
is "$(vmaheap top --json -n 1 -p "$still" | jq -c '.totals | del(.sampled_at)')" \
	"$(vmaheap maps --json -p "$still" | jq -c '.totals | del(.sampled_at)')" "and what maps says"
is "$(vmaheap top --json -n 1 -p "$busy" | jq -r '.kernel | type')" "$(in_guest && echo object || echo null)" \
	"what the kernel did is there, or not known"
lines=$(vmaheap top -b -n 2 -d 0.3)
is "$(grep -c '^vmaheap top ' <<<"$lines")" 2 "-b -n 2: two looks"
like "$lines" "^ *$still +0 +$(in_guest && echo 0 || echo '\?') +[0-9]+ +[0-9]+ +[0-9]+ .*heaps$" "who stands still calls nothing"
like "$lines" "^ *$busy +[1-9][0-9]+ .*python3$" "who works does"

# The rate is that of the books: between the two looks, by their own clocks.
vmaheap top --json -n 2 -d 1 -p "$busy" >two
rate=$(jq -s '(.[1].calls.calls - .[0].calls.calls) / (.[1].now - .[0].now) * 1e9' two)
shown=$(vmaheap top -b -n 2 -d 1 | awk -v pid="$busy" '$1 == pid { n = $2 } END { print n }')
is "$(jq -n "$shown > $rate / 4 and $shown < $rate * 4")" true "a rate of $shown calls/s, where $rate was counted before"

# --- on the screen
terminal 24 80 vmaheap top -d 0.2
sees "both are listed" "(?s)$still .*heaps.*python3|$busy .*python3.*heaps"
tell 'keys /heaps\r'
sees "a filter leaves one" '(?s)sorted by resident  /heaps\n *PID[^\n]*\n *[0-9][^\n]* heaps\n\n'
tell 'keys \r'
sees "Enter opens it" "process $still \\(heaps\\)"
sees "VMAs: the heap" '^ *[0-9a-f]{6,12}  rw-p +[0-9]+ +[0-9]+ +[0-9]+ +[0-9]+  heap +\[heap\]'
sees "what resident memory consists of" '^resident [0-9]+M?: live [0-9]+M?, held [0-9]+M?, file [0-9]+M?, other [0-9]+M?, unknown [0-9]+M?, rest [0-9]+M?$'
sees "to scale" '^live#+held=+file-+'
tell 'keys j'
sees "the next row, and more on it" '^[0-9a-f]+-[0-9a-f]+ [^\n]*: (exec|brk|mmap|sampled)'
tell show
is "$(wc -l <<<"$said") $(grep -cE '^ *[0-9a-f]{6,12}  [r-]' <<<"$said")" "24 16" "80x24 has room for 16 rows"
tell 'keys 2'
sees "arenas: those of three threads, and the main one" '(?s) [0-3] [^\n]*\n +1 [^\n]*\n +2 [^\n]*\n +3 '
tell 'keys 3'
sees "calls, by the kernel too, or not known" '^malloc\(\) +0 +[1-9]'
tell 'keys 4'
sees "callers" 'events  calls  mapped  unmapped  in'
tell 'keys 5'
sees "pins" '^malloc_trim\(0\) returns [0-9]+, with these freed [0-9]+; read [0-9]+ s ago \(r: again\)$'
tell 'keys \t'
sees "Tab goes round" '\[1 VMAs\]'
tell 'keys <'
sees "sorted by the column before" 'by size'
tell 'keys R'
sees "the other way round" 'by size, reversed'
tell 'size 12 50'
sees "another size: four rows, and more on one" \
	'(?s)\A([^\n]*\n){6}( *[0-9a-f]{6,12}  [r-][^\n]*\n){4}(?! *[0-9a-f]{6,12}  [r-])[^\n]*\n(?! *[0-9a-f]{6,12}  [r-])[^\n]*\Z'
tell 'size 40 150'
sees "or more, and more columns" 'chunks  kind +made by +name'
tell 'size 24 80'
tell 'keys ?'
sees "help" 'Up Down PgUp'
tell show
is "$(awk 'length > 79' <<<"$said")" "" "the help fits as well"
tell 'keys x'
sees "and back" '\[1 VMAs\]'
tell colours
like "$said" green "it is coloured"
tell 'keys \x1b'
sees "Esc goes back" '2 processes'
tell 'keys \x03'
ends '^C' 0

terminal 24 80 env NO_COLOR=1 vmaheap top -d 0.2 -p "$still"
sees "NO_COLOR: the same" '\[heap\]'
tell colours
is "$said" "" "without colours"
tell 'signal 15'
ends SIGTERM 0

# --- ends
terminal 24 80 vmaheap top -d 0.2 -p "$still"
sees "it is there" '\[heap\]'
echo exit >&8
exec 8>&- 9<&-
sees "its end is told" "process $still has ended"
sees "its last state stays" '\[heap\]'
kill -KILL "$(vmaheap top --json -n 1 | jq '.[0].socket' | grep -oE '[0-9]+\.sock' | cut -d. -f1 |
	xargs -I{} pgrep -P {} -x vmaheap)"
sees "a killed daemon is told of" 'no daemon answers any more'
tell 'keys q'
ends "q, still" 0
kill "$busy"
wait

# --- who asks does not end a daemon that is about to be used
while [ ! -e asked ]; do vmaheap top --json -n 1 >/dev/null; done &
asker=$!
failed=0
for _ in 1 2 3 4 5; do
	vmaheap record "${side[@]}" -o short -- true 2>short.err || failed=$((failed + 1))
	rm -rf short
done
touch asked
wait $asker
is "$failed $(cat short.err | grep -c 'no daemon')" "0 0" "records begin while somebody asks all the time"

# --- a process that nobody watches is attached to
PYTHONMALLOC=malloc /usr/bin/python3 work.py &
pid=$!
terminal 24 80 vmaheap top "${side[@]}" -d 0.2 -p $pid
sees "-p: it is watched now" '(?s)calls [1-9][0-9]*/s.*\[heap\]'
tell 'keys q'
ends "and when it quits" 0
ok "the process lives" kill -0 $pid
unlike "$(cat /proc/$pid/maps)" 'libvmaheap|^1000[0-9a-f]{8}-' "and nothing of ours is left in it"
is "$(vmaheap top --json -n 1)" "[]" "nobody watches it any more"
kill $pid
done_testing
