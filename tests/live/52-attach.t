#!/bin/bash
# The shim put into running processes, and taken out again.
set -u
. "$(dirname "$0")/lib.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
load
cd "$tmp" || bail "no $tmp"
# The shim's region, less its image.
mapped() { awk -F'[- ]' '$1 >= "480000000000" && $1 < "48fffc000000" && length($1) == 12' "/proc/$1/maps"; }
calls_of() { vmaheap report --json -p "$1" | jq '[.spaces[] | select(.pid == '"$1"')] | .[0].calls.calls'; }
sees() { [ "$(calls_of "$1")" -gt "$2" ]; }

# attach NAME PID CALLS [OPTION...]: until so many calls were seen, then ^C; the checks of all.
attach() {
	local name=$1 pid=$2 calls=$3 job status
	shift 3
	vmaheap attach -o "$name" "$@" -p "$pid" 2>"$name.err" &
	job=$!
	until_true 30 sees "$pid" "$calls" || fail "$name: no calls come"
	kill -INT $job
	wait $job
	is $? 0 "$name: attach ends on ^C"
	like "$(cat "$name.err")" 'its pointers are put back \([1-9]' "$name: it says that the pointers are put back"
	unlike "$(cat "$name.err")" 'inside|uprobes|refused|cut off' "$name: nothing odd"
	ok "$name: the process lives" kill -0 "$pid"
	is "$(mapped "$pid")" "" "$name: its rings are gone"
	ok "$name: nobody traces it" grep -q '^TracerPid:.0$' "/proc/$pid/status"
	diag "$name: $(grep -E '^(attach|events)' "$name.err" | tr '\n' ' ')"
}

# --- threads that allocate, begin, end, fork, load libraries; it checks its own memory
mkfifo in
alloc_storm 4 <in >storm.out 2>storm.err &
pid=$!
exec 3>in
until_true 30 grep -q running storm.out || bail "the victim does not run"
attach first $pid 3000
like "$(vmaheap report first)" 'Found as the watch began: [1-9]' "chunks from before the attach are found"
is "$(vmaheap report --json first | jq '[.spaces[0].functions[].to_kernel] | add > 0')" true \
	"what the kernel did is put down to calls"
vmaheap attach -o killed -p $pid 2>killed.err &
job=$!
until_true 30 sees $pid 1000 || fail "no calls come"
exits 125 "a second one" vmaheap attach --alloc=shim -o second -p $pid
like "$(cat "$tmp/said")" 'another vmaheap has injected|traces it' "is refused, with a reason"
kill -KILL $job
wait $job 2>/dev/null
until_true 30 sh -c "! vmaheap maps -p $pid" || fail "the daemon does not end"
is "$(mapped $pid)" "" "when the command is killed, the shim is taken out all the same"
exec 3>&-
wait $pid
is $? 0 "the victim has found nothing wrong"
is "$(cat storm.err)" "" "and complains of nothing"

# --- what was allocated before: live is what malloc's own books say, and stays so
holder >held.py
mkfifo more
PYTHONMALLOC=malloc python3 held.py <more >held.out &
pid=$!
exec 4>more
until_true 30 grep -q ready held.out || bail "python does not run"
vmaheap attach -o held -p $pid 2>held.err &
job=$!
found() { vmaheap report --json -p $pid | jq -en 'input | .spaces[0].found.at' >/dev/null; }
until_true 30 found || fail "nothing is found"
used() { vmaheap heap --json -p $pid | jq '([.arenas[].used.chunks] | add) + .mmapped.chunks'; }
live() { vmaheap report --json "$@" | jq '.spaces[0].live.chunks'; }
is "$(live -p $pid)" "$(used)" "as many chunks are live as malloc has in use"
printf x >&4
until_true 30 grep -q freed held.out
is "$(live -p $pid)" "$(used)" "and after half of them were freed"
doubts=$(vmaheap report --json -p $pid | jq -c '.spaces[0] | [.doubts.unknown_frees, .doubts.double_allocs, .found.wrong, .found.undecided]')
is "$doubts" '[0,0,0,0]' "those were frees of known chunks"
was=$(live -p $pid)
like "$(vmaheap report -p $pid)" 'Found as the watch began: [1-9][0-9]{4} chunks' "report says it"
chunk=$(vmaheap heap --chunks --json -p $pid | jq -r '[.chunks[] | select(.state == "used" and .size > 500)][0].addr')
like "$(vmaheap why "$(printf %#x $((chunk + 16)))" -p $pid)" 'caller unknown: from before the watch' "why says it of a chunk"
kill -INT $job
wait $job
is "$(live held)" "$was" "the trace says the same"
exec 4>&-
wait $pid

# --- no hook at all: what malloc's own books have in use, again and again
PYTHONMALLOC=malloc python3 held.py <more >held.out &
pid=$!
exec 4>more
until_true 30 grep -q ready held.out || bail "python does not run"
vmaheap attach --alloc=walk:100 -o walked -p $pid 2>walked.err &
job=$!
until_true 30 found || fail "no walk"
is "$(live -p $pid)" "$(used)" "a walk: as many chunks are live as malloc has in use"
printf x >&4
until_true 30 grep -q freed held.out
is "$(live -p $pid)" "$(used)" "and after half of them were freed"
was=$(live -p $pid)
ok "those are fewer" test "$was" -lt 50000
chunk=$(vmaheap heap --chunks --json -p $pid | jq -r '[.chunks[] | select(.state == "used" and .size > 500)][0].addr')
like "$(vmaheap why "$(printf %#x $((chunk + 16)))" -p $pid)" 'caller unknown \(walked\), first seen' "why says it of a chunk"
like "$(vmaheap maps -p $pid)" 'in use at .*sampled, --alloc=walk' "maps says when"
is "$(mapped $pid)" "" "nothing is put into it"
kill -INT $job
wait $job
unlike "$(cat walked.err)" 'stopped|stood still|could not' "it was not stopped"
is "$(live walked)" "$was" "the trace says the same"
exec 4>&-
wait $pid

# --- the books of musl's malloc: the same, to the byte, for sizes are those that were asked for
truth() { tail -n 1 "$1.out"; }
sums() { vmaheap report --json "$@" | jq -r '.spaces[0] | "\(.live.chunks) \(.live.bytes)"'; }
found_now() { [ "$(vmaheap report --json -p $pid | jq .spaces[0].found.at)" -gt 0 ]; }
tells() { [ "$(wc -l <"$1.out")" = "$2" ]; }
# musl NAME VICTIM CALLS SAYS [OPTION...]: so many calls are to be seen, and this is to be said
musl() {
	local name=$1 victim=$2 calls=$3 says=$4 job
	shift 4
	mkfifo "$name.in"
	# shellcheck disable=SC2086
	$victim 4 <"$name.in" >"$name.out" &
	pid=$!
	exec 5>"$name.in"
	until_true 30 tells "$name" 1 || bail "$name: the victim does not run"
	vmaheap attach -o "$name" "$@" -p $pid 2>"$name.err" 5>&- &
	job=$!
	until_true 30 found_now || fail "$name: nothing is found"
	is "$(sums -p $pid)" "$(truth "$name")" "$name: what is live is what the program holds"
	printf h >&5
	until_true 30 tells "$name" 2
	is "$(sums -p $pid)" "$(truth "$name")" "$name: and after half of it was freed"
	printf b >&5
	until_true 30 tells "$name" 3
	[ "$calls" = 0 ] || until_true 30 sees $pid "$calls" || fail "$name: no calls come"
	printf x >&5
	until_true 30 tells "$name" 4
	is "$(sums -p $pid)" "$(truth "$name")" "$name: and when its threads went on"
	is "$(vmaheap report --json -p $pid | jq -c '.spaces[0].doubts | [.unknown_frees, .double_allocs]')" '[0,0]' \
		"$name: each free is of a known chunk"
	kill -INT $job
	wait $job
	is $? 0 "$name: attach ends on ^C"
	is "$(sums "$name")" "$(truth "$name")" "$name: the trace says the same"
	like "$(cat "$name.err")" "$says" "$name: it says how"
	unlike "$(cat "$name.err")" 'not known|could not be read' "$name: and that nothing is amiss"
	exec 5>&-
	wait $pid
}
musl musl holds-musl 10000 'pointers are put back'
like "$(vmaheap report musl)" 'Found as the watch began: [1-9][0-9]* chunks, [0-9]* bytes that were asked for' "report says it"
musl musl-static holds-musl-static 10000 'by uprobes instead'
# Not randomized, its bss is next to its heap.
musl musl-walked 'setarch -R holds-musl-static' 0 watching --alloc=walk:100

# Stripped, it has no malloc to be hooked; those books are there all the same.
musl musl-stripped holds-musl-stripped 0 "statically linked; no symbol says .*books are read instead"
like "$(vmaheap maps musl-stripped)" '^Allocator: musl, by its books in memory' "maps says how it is known"
is "$(vmaheap report --json musl-stripped | jq -c '.spaces[0].allocator')" '{"name":"musl","file":null,"static":true}' \
	"report, that no file defines it"
musl musl-stripped-walked 'setarch -R holds-musl-stripped' 0 watching --alloc=walk:100
musl musl-stripped-sampled holds-musl-stripped 0 watching --kernel=none
# From its start: when it is looked at first it has not called malloc.
mkfifo start.in
vmaheap record -o start -- holds-musl-stripped 4 <start.in >start.out 2>start.err &
job=$!
exec 5>start.in
until_true 30 tells start 1 || bail "start: the victim does not run"
pid=$(pgrep -x holds-musl-stri)
until_true 30 found_now || fail "start: nothing is found"
is "$(sums -p "$pid")" "$(truth start)" "start: what is live is what the program holds"
printf h >&5
until_true 30 tells start 2
is "$(sums -p "$pid")" "$(truth start)" "start: and after half of it was freed"
exec 5>&-
wait $job
is $? 0 "start: record ends with it"
is "$(sums start)" "$(truth start)" "start: the trace says the same"
like "$(cat start.err)" 'allocator opaque, unless its books are found' "start: it says what can be seen"
like "$(vmaheap script start)" 'allocator: musl, by its books' "start: script says when it was known"
# Of books that are not musl's nothing is said.
busybox sleep 1000 &
pid=$!
until_true 10 grep -q heap /proc/$pid/maps
exits 125 "a static, stripped program with other books" vmaheap attach -o other -p $pid
like "$(cat "$tmp/said")" 'no malloc found \(allocator opaque\)' "is refused as ever"
kill $pid

# --- real programs
cat >work.py <<-'END'
	import json
	while True:
	    json.dumps({str(i): [i] * 3 for i in range(200)})
END
PYTHONMALLOC=malloc python3 work.py &
pid=$!
until_true 30 grep -q python3 /proc/$pid/comm
attach python $pid 5000
kill $pid
perl -e 'while (1) { my %h; $h{$_} = [$_ x 3] for 1..500 }' &
pid=$!
attach perl $pid 5000
kill $pid

# --- no call is made in a thread that is io_uring's, nor is it taken for being inside
uring >uring.out 2>&1 &
pid=$!
until_true 30 grep -q running uring.out || bail "no io_uring: $(cat uring.out)"
attach uring $pid 5000
kill $pid

# --- a child forked while it is watched has the shim as well, and is rid of it again
cat >family.py <<-'END'
	import os, time
	while not os.path.exists("go"):
	    time.sleep(0.01)
	os.fork()
	while True:
	    b"x" * 1000000
	    time.sleep(0.001)
END
python3 family.py &
pid=$!
vmaheap attach -f -o family -p $pid 2>family.err &
job=$!
until_true 30 sees $pid 10 || fail "no calls come"
touch go
until_true 30 pgrep -P $pid >/dev/null || fail "no child"
child=$(pgrep -P $pid)
until_true 30 sees "$child" 10 || fail "no calls of the child come"
kill -INT $job
wait $job
is $? 0 "attach -f ends on ^C"
unlike "$(cat family.err)" 'inside|uprobes|refused|cut off' "nothing odd"
is "$(mapped $pid)$(mapped "$child")" "" "both are rid of the rings"
kill $pid "$child"
is $? 0 "and live"
wait $pid 2>/dev/null

# --- what a child executes has the shim soon, and what it allocated until then is found
mkfifo go2
bash -c 'read -r <go2; PYTHONMALLOC=malloc python3 held.py <more >held.out; sleep 60' &
pid=$!
vmaheap attach -f -o execs -p $pid 2>execs.err &
job=$!
until_true 30 grep -q watching execs.err || fail "no attach"
rm -f held.out
echo >go2
exec 4>more
until_true 60 grep -qs ready held.out || bail "python does not run"
child=$(pgrep -P $pid -x python3)
python() { vmaheap report --json -p "$child" | jq "[.spaces[] | select(.comm == \"python3\")][0] | $1"; }
held() { [ "$(python .found.at)" != null ]; }
until_true 30 held || fail "nothing is found in what a child executes"
heap() { vmaheap heap --json -p "$child" | jq '([.arenas[].used.chunks] | add) + .mmapped.chunks'; }
is "$(python .live.chunks)" "$(heap)" "execs: as many chunks are live as malloc has in use"
printf x >&4
until_true 30 grep -q freed held.out
is "$(python .live.chunks)" "$(heap)" "execs: and after half of them were freed"
is "$(python '.calls.calls > 10000 and .doubts.double_allocs == 0 and .doubts.calls_lost == 1')" true \
	"execs: what was called before is a loss, the rest is seen"
kill -INT $job
wait $job
is $? 0 "execs: attach -f ends on ^C"
like "$(cat execs.err)" 'and 1 that came from it were stopped .*; their pointers are put back \([1-9]' \
	"execs: it says that the pointers are put back"
unlike "$(cat execs.err)" 'inside|uprobes|refused|cut off' "execs: nothing odd"
is "$(mapped $pid)$(mapped "$child")" "" "execs: both are rid of the rings"
exec 4>&-
until_true 30 sh -c "! kill -0 $child" || fail "python does not end"
pkill -P $pid
kill $pid
wait $pid 2>/dev/null

# waits NAME VICTIM ARGUMENT...: attached to before it begins, and until it has ended; $lost.
waits() {
	local name=$1 job
	shift
	mkfifo "$name.in"
	VICTIM_WAIT=1 "$@" <"$name.in" >"$name.truth" 2>&1 &
	pid=$!
	exec 5>"$name.in"
	until_true 30 grep -q '^0 0x0 ' /proc/$pid/syscall || fail "$name: it does not wait"
	vmaheap attach -o "$name" -p $pid 2>"$name.err" 5>&- &
	job=$!
	until_true 30 grep -q watching "$name.err" || fail "$name: no attach"
	sleep 0.5 # a look
	printf g >&5
	exec 5>&-
	wait $job
	is $? 0 "$name: attach ends with it"
	wait $pid
	is $? 0 "$name: and it ends well"
	lost=$(sed -n 's/.*lost: \([0-9]*\).*/\1/p' "$name.err")
}

# --- an allocator that the shim does not see is a loss, and it is said
for how in before after; do
	waits $how apart $how
	is "$lost" 1 "$how: a loss"
	like "$(cat $how.err)" 'opens a library past the shim' "$how: and why"
done

# --- and one whose chunks from before cannot be found
waits jemalloc alloc_ops-jemalloc
like "$(cat jemalloc.err)" 'before the attach are not known: its allocator, jemalloc, keeps no books that can be read' \
	"jemalloc: it is said"

# --- what it calls by names of its own is for uprobes, as long as nobody says otherwise
waits beside alloc_ops-beside-je_
like "$(cat beside.err)" 'calls jemalloc by names of its own \(je_malloc\), past the shim; by uprobes instead' "beside: it is said"
like "$(cat beside.err)" 'before the attach are not known: its allocator, jemalloc,' "beside: and that these have no books"
is "$lost $(vmaheap report --json beside | jq -c '.spaces[0] | [.allocator.name, .doubts.unknown_frees]')" \
	'0 ["jemalloc",0]' "beside: nothing is lost, each free has its malloc"
is "$(vmaheap script --json beside | jq -s '[.[] | select(.kind == "call" and (.op == "malloc" or .op == "calloc"))] | length')" \
	"$(grep -cE '^(malloc|calloc)' beside.truth)" "beside: each of its calls"

# --- a library that comes later is seen from its first call on
for how in later deepbind; do
	waits $how late ${how#later}
	is "$lost" 0 "$how: nothing lost"
	is "$(vmaheap report --json $how | jq -c '.spaces[0] | [.calls.calls >= 2000, .doubts.unknown_frees]')" \
		"[true,0]" "$how: each of its calls"
done

# --- what it executes may be nothing for the shim
mkfifo next.in
VICTIM_WAIT=1 bash -c 'read -r; exec alloc_ops-static' <next.in >next.truth &
pid=$!
exec 5>next.in
vmaheap attach -o next -p $pid 2>next.err 5>&- &
job=$!
until_true 30 grep -q watching next.err || fail "no attach"
echo >&5
until_true 60 grep -q 'cannot be put into: it is statically linked' next.err
is $? 0 "a statically linked program is executed: it is said"
printf g >&5
exec 5>&-
wait $job
is $? 0 "attach ends with it"
like "$(cat next.err)" 'lost: 1,' "what it calls is a loss"

# --- a process that shuts itself in meanwhile: what its next thread does is a loss (and what a full
# ring drops, on a busy machine: an attached process does not wait)
waits guarded alloc_guarded prctl thread
told=$(vmaheap report --json guarded | jq '.spaces[0].calls.calls')
ok "guarded: that thread's events are lost: $lost" test "$lost" -ge 2000
all=$((told + lost))
ok "guarded: told and lost are all there were: $all" test "$all" -ge 802000 -a "$all" -le 802020

done_testing
