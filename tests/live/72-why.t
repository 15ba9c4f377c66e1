#!/bin/bash
# `why rss`, `why arena`, `why held` of real programs: all that is resident has a name, with the
# allocator's events and without any; and with them it is known who made the pins.
set -u
. "$(dirname "$0")/lib.sh"

programs
load
repo=$(cd "$(dirname "$0")/../.." && pwd)
cd "$tmp" || bail "no $tmp"
cat >work.py <<'END'
import sys, threading
keep = [bytes(i % 3000) for i in range(12000)]
del keep[::3]
hold = threading.Barrier(3)
def work():
    mine = [str(i) * (i % 9) for i in range(4000)]
    hold.wait()
    hold.wait()
threads = [threading.Thread(target=work) for i in range(2)]
[t.start() for t in threads]
hold.wait()
print("ready", flush=True)
sys.stdin.read()
hold.wait()
END

# small NAME PID: less than a hundredth is unknown, and the terms are resident - unknown
small() {
	local json
	json=$(vmaheap why rss --json -p "$2") || diag "$json"
	is "$(jq -c '[.incomplete, (.unknown | fabs) * 100 <= .resident, ([.terms[]] | add) + .unknown == .resident, .terms.live > 0]' <<<"$json")" \
		'[null,true,true,true]' "$1: less than 1 % of what is resident is unknown"
	diag "$1: $(jq -c '[.resident, .unknown]' <<<"$json") bytes"
}

# opaque NAME PID: the same, where malloc is not glibc's
opaque() {
	is "$(vmaheap why rss --json -p "$2" | jq -c '[.opaque, (.unknown | fabs) * 100 <= .resident, ([.terms[]] | add) + .unknown == .resident]')" \
		'[true,true,true]' "$1: less than 1 % of what is resident is unknown"
	diag "$1: $(vmaheap why rss --json -p "$2" | jq -c '[.resident, .unknown]') bytes"
}

# --- watched from its start
mkfifo to
PYTHONMALLOC=malloc vmaheap record -o trace -- python3 work.py <to >out 2>err &
recorder=$!
exec 8>to
until_true 60 grep -q ready out || bail "$(cat err)"
pid=$(pgrep -f '^python3 work.py' | head -n 1)
small "python3, recorded" "$pid"
is "$(vmaheap why rss --json -p "$pid" | jq '.slack_known * 10 > .terms.live * 9 and .terms.slack > 0')" true \
	"python3: what was asked for is known of nine tenths of what is live"
like "$(vmaheap why rss -p "$pid")" '^  unknown +-?[0-9.]+ +-?0\.[0-9]+ % that nothing explains' "and in words"
held=$(vmaheap why held --json -p "$pid")
is "$(jq '[.arenas[0].pins[] | select(.state == "used" and .call != null)] | length > 0' <<<"$held")" true "why held: events tell who made the pins"
is "$(jq '[.arenas[].pins[] | select(.call != null) | .call.size <= .size and .call.tid > 0] | all' <<<"$held")" true "and their sizes fit"
like "$(vmaheap why held -p "$pid")" '^ +1 +0x[0-9a-f]+ .*(malloc|realloc|calloc)\([0-9]+\) from .*, thread [0-9]+, [0-9.]+ s ago' "and in words"
arena=$(vmaheap why arena --json -p "$pid")
is "$(jq -c '[(.arenas | length) == (.others.arenas + 1), ([.arenas[1:][].heaps[].made.syscall.name] | unique)]' <<<"$arena")" \
	'[true,["mmap"]]' "why arena: who made each reserve"
is "$(jq '[.arenas[1:][].heaps[].commits | .calls > 0 and ([.callers[].bytes] | add) == .bytes] | all' <<<"$arena")" true \
	"why arena: by which mprotect it became accessible"
# The first one is of the heap's making; all of them make up what is accessible.
is "$(jq -n 'def hex: explode | map(if . > 96 then . - 87 else . - 48 end) | reduce .[2:][] as $d (0; . * 16 + $d);
	[$a.arenas[1:][].heaps[] | (.committed | hex) - (.start | hex) == .commits.bytes] | all' --argjson a "$arena")" true \
	"why arena: they are all of what is accessible"
is "$(jq '[.arenas[].threads[]] | sort' <<<"$arena" | jq -c 'length == 3')" true "why arena: every thread has one"
exec 8>&-
wait $recorder
is $? 0 "the program goes on as if nothing had been"
like "$(vmaheap why held trace)" 'by live chunks alone' "why held of a trace says what it goes by"
for what in rss arena; do
	exits 125 "why $what of a trace" vmaheap why $what trace
	like "$(cat "$tmp/said")" 'needs the process itself, a trace does not hold' "is refused, with a reason"
done

# --- nobody watches
exec 8<>to
python3 work.py <to >out &
pid=$!
until_true 60 grep -q ready out || bail "python3 does not start"
small "python3, unwatched" $pid
# Of each thread its stack, from where its stack pointer is to the end.
stacks=$(vmaheap why rss --json -p $pid | jq -c '[.vmas[] | select(.stack != null) | [.start, .end, .stack]]')
is "$(for thread in /proc/$pid/task/*; do
	jq -n --argjson s "$stacks" --arg sp "$(awk '{ print $(NF - 1) }' "$thread/syscall")" '[$s[] | select(.[0] <= $sp and $sp < .[1]) | .[2] >= 8192]'
done | jq -sc .)" '[[true],[true],[true]]' "the stacks of all threads"
like "$(vmaheap why held -p $pid)" 'not known: no allocator event' "why held: what is not known is said"
# any address, down to its page, by malloc's own books
vmaheap heap --chunks --json -p $pid >chunks
for state in used tcache top; do
	read -r addr size < <(jq -r --arg s $state '[.chunks[] | select(.state == $s and .arena != null)][0] | "\(.addr) \(.size)"' chunks)
	is "$(vmaheap why --json "$(printf %x $((addr + 20)))" -p $pid | jq -c '[.chunk, .malloc.state, .malloc.size, .malloc.offset, .malloc.arena, .page.state, .page.alone, .page.mapped, (.page.flags | index("ANON") != null)]')" \
		"[null,\"$state\",$((size - 8)),4,0,\"present\",true,1,true]" "why ADDR: a chunk that is $state, and its page"
done
like "$(vmaheap why "$addr" -p $pid)" '^  frame +0x[0-9a-f]+, mapped 1 time, flags .*ANON' "and in words"
soft_dirty() { vmaheap why --json "$(printf %x "$((addr))")" -p $pid | jq .page.soft_dirty; }
before=$(soft_dirty)
echo 4 >/proc/$pid/clear_refs
like "$before $(soft_dirty)" '^(true false|null null)$' "soft-dirty, until clear_refs, where the kernel keeps it"
bytes=$(printf '%016x\n' "$((addr))" | fold -w 2 | tac | xargs)
is "$(vmaheap why --json "$bytes" -p $pid | jq -r .addr)" "$(printf '0x%x' "$addr")" "an address as a dump shows its bytes"
is "$(vmaheap why --json --bytes "${bytes// /}" -p $pid | jq -r .addr)" "$(printf '0x%x' "$addr")" "and without blanks"
exits 125 "three bytes" vmaheap why "d0 cf ae" -p $pid
like "$(cat "$tmp/said")" 'no address' "are refused"
code=$(awk '/r-xp.*libc\.so/ { split($1, a, "-"); print a[1]; exit }' /proc/$pid/maps)
is "$(vmaheap why --json "$code" -p $pid | jq --argjson me $$ '.page | .file == true and (.shared.users >= 1) and ([.shared.with[].addr] | length > 0)')" true \
	"code of libc: who else has it"
kill $pid
sqlite3 -batch :memory: "create table t(a integer primary key, b text);" ".system echo ready >out2" \
	"$(printf 'insert into t(b) values (hex(randomblob(90)));%.0s' {1..200})" ".read $tmp/to" >/dev/null &
pid=$!
until_true 60 grep -q ready out2 || bail "sqlite3 does not start"
small "sqlite3" $pid
kill $pid
redis-server --port 0 --unixsocket "$tmp/redis" --save "" >redis.out &
pid=$!
until_true 60 test -S redis || bail "redis does not start: $(cat redis.out)"
seq -f 'SET %g "of some length"' 20000 | redis-cli -s "$tmp/redis" --pipe >/dev/null
opaque "redis, whose allocator is jemalloc" $pid
vmaheap attach -o redis.trace -p $pid 2>err &
attach=$!
until_true 30 grep -q watching err || bail "$(cat err)"
seq -f 'SET %g "of more length than that before"' 20000 | redis-cli -s "$tmp/redis" --pipe >/dev/null
like "$(vmaheap maps -p $pid)" ' pool ' "redis, watched: it has chunks in jemalloc's pools"
opaque "redis, watched" $pid
kill -INT $attach
wait $attach
kill $pid
node -e 'const { Worker } = require("worker_threads");
	const kept = Array.from({ length: 20000 }, (_, i) => Buffer.alloc(i % 300));
	new Worker("setInterval(() => {}, 1e8)", { eval: true }).on("online", () => console.log("ready", kept.length));' >node.out &
pid=$!
until_true 60 grep -q ready node.out || bail "node does not start"
until_true 60 asleep $pid
small "node" $pid
kill $pid
exec 8<>to
{ cat "$repo/user/vmaheap.1"; echo ".pl 1"; } >&8
troff -man -Tutf8 <to >troff.out &
pid=$!
until_true 60 eval '[ -s troff.out ] && asleep $pid' || bail "troff does not start"
small "troff, a C++ program" $pid
kill $pid
done_testing
