#!/bin/bash
# A process whose main thread has ended, while another one goes on.
set -u
. "$(dirname "$0")/lib.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
load
cd "$tmp" || bail "no $tmp"

# start MS: the victim as $pid, with fd 3 for its standard input
start() {
	rm -f in out
	mkfifo in
	headless "$@" <in >out &
	pid=$!
	exec 3>in
	until_true 30 grep -q round out || bail "the victim does not run"
}
rounds() { [ "$(wc -l <out)" -gt "$1" ]; }
ended() { grep -q '^State:.Z' "/proc/$pid/status"; }
books() { vmaheap heap --json -p $pid | jq '([.arenas[].used.chunks] | add) + .mmapped.chunks'; }

start
until_true 30 ended || bail "its main thread does not end"
ok "heap reads it" vmaheap heap -p $pid
for kernel in module none; do
	verify=--verify=50
	[ $kernel = module ] || verify=
	vmaheap attach --kernel=$kernel $verify -o shim-$kernel -p $pid 2>err &
	job=$!
	until_true 30 grep -q watching err || fail "$kernel: no attach: $(cat err)"
	nr=$(wc -l <out)
	printf xx >&3
	until_true 30 rounds $((nr + 1)) || fail "$kernel: it does not go on"
	sees() { [ "$(vmaheap report --json -p $pid | jq '.spaces[-1] | .calls.calls >= 4000 and .found.at > 0')" = true ]; }
	until_true 30 sees || fail "$kernel: its calls are not seen"
	is "$(vmaheap report --json -p $pid | jq '.spaces[-1].live.chunks')" "$(books)" \
		"$kernel: as many chunks are live as malloc has in use"
	ok "$kernel: maps" vmaheap maps -p $pid
	like "$(vmaheap why rss -p $pid)" 'unknown +0 ' "$kernel: its resident memory is explained"
	[ $kernel = none ] || ok "$kernel: verify" vmaheap verify -p $pid
	kill -INT $job
	wait $job
	is $? 0 "$kernel: attach ends on ^C"
	like "$(cat err)" 'its pointers are put back \([1-9]' "$kernel: the shim is taken out"
	like "$(cat err)" 'lost: 0' "$kernel: nothing is lost"
	[ $kernel = none ] || like "$(cat err)" ' 0 mismatch' "$kernel: the model is what /proc has"
	unlike "$(cat err)" 'inside|uprobes' "$kernel: nothing odd"
	diag "$(cat err)"
done
exits 125 "uprobes, which know it by that thread," vmaheap attach --alloc=uprobe -o no -p $pid
like "$(cat "$tmp/said")" 'its main thread has ended' "are refused"
exec 3>&-
wait $pid
is $? 0 "the victim ends well"

# --- it ends while they are at work: that is said, and a loss
start 3000
vmaheap attach --alloc=uprobe -o deaf -p $pid 2>err &
job=$!
until_true 60 grep -q 'main thread of process .* has ended' err || fail "nobody says that it has ended: $(cat err)"
kill -INT $job
wait $job
like "$(cat err)" 'lost: [1-9]' "by uprobes: what comes then is a loss"
exec 3>&-
wait $pid

# --- from the start
mkfifo in2
vmaheap record --verify=50 -o rec -- headless 500 <in2 >out 2>err &
job=$!
exec 3>in2
until_true 30 rounds 0 || bail "the victim does not run"
pid=$(pgrep -x headless)
until_true 30 ended || bail "its main thread does not end"
for i in 1 2 3 4; do
	printf x >&3
	until_true 30 rounds "$i" || fail "it does not go on"
done
sees() { [ "$(vmaheap report --json -p $pid | jq '.spaces[-1].calls.calls >= 9000')" = true ]; }
until_true 30 sees || fail "its calls are not seen"
is "$(vmaheap report --json -p $pid | jq '.spaces[-1].live.chunks')" "$(books)" \
	"record: as many chunks are live as malloc has in use"
exec 3>&-
wait $job
is $? 0 "record ends with it"
like "$(cat err)" ' 0 mismatch' "record: the model is what /proc has"
like "$(cat err)" 'lost: 0' "record: nothing is lost"
diag "$(cat err)"
done_testing
