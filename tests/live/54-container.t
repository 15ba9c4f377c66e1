#!/bin/bash
# Processes of another pid namespace, whose threads call themselves by other numbers than ours.
set -u
. "$(dirname "$0")/lib.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
load
cd "$tmp" || bail "no $tmp"
space() { vmaheap report --json "$1" | jq -c "[.spaces[] | select(.comm == \"$2\")][0] | $3"; }
# Which threads of it told of a malloc.
tellers() { vmaheap script "$1" | grep -w 'malloc(.*' | awk '{print $2}' | grep "^$(space "$1" alloc_threads .pid)/" | sort -u; }

# eight NAME COMMAND...: alloc_threads, recorded as COMMAND has it, told in $name
eight() {
	local name=$1
	shift
	ok "$name: record" "$@" alloc_threads 2000
	truth=$(sed -n 's/^allocs.* live \([0-9]*\)$/\1/p' "$tmp/said")
	vmaheap export --format=sqlite -o "$name.db" "$name"
	is "$(sqlite3 "$name.db" "SELECT count(*) FROM live WHERE symbol LIKE '%(alloc_threads)'")" "$truth" \
		"$name: as many chunks live as it says"
	is "$(space "$name" alloc_threads '[.doubts.calls_lost, .doubts.unknown_frees, .doubts.double_allocs]')" "[0,0,0]" \
		"$name: no doubts"
	is "$(tellers "$name" | grep -c "/[1-9][0-9]\{0,6\}$")" 9 "$name: all threads are known, each by itself"
}

eight none vmaheap record --kernel=none -f -o none -- unshare -pf --mount-proc
eight module vmaheap record -f --verify=50 -o module -- unshare -pf --mount-proc
like "$(cat "$tmp/said")" ' 0 mismatch' "module: the model is what /proc has"
is "$(space module alloc_threads '[.functions[].to_kernel] | add > 100')" true "module: calls have what the kernel did"
eight inside unshare -pf --mount-proc vmaheap record -o inside --
is "$(space inside alloc_threads '[.functions[].to_kernel] | add > 100')" true "inside: calls have what the kernel did"

# --- threads that begin and end all the time, attached to
mkfifo in
unshare -pf --mount-proc alloc_storm 4 10 <in >storm.out 2>storm.err &
job=$!
exec 3>in
until_true 30 grep -q running storm.out || bail "the victim does not run"
pid=$(pgrep -P $job)
vmaheap heap --stop --json -p "$pid" | jq '.threads[].tid | select(.)' >threads
is "$(while read -r tid; do [ -d "/proc/$pid/task/$tid" ] && echo yes; done <threads | wc -l | jq '. >= 4')" true \
	"heap knows its threads by our numbers"
for kernel in module none; do
	vmaheap attach --kernel=$kernel -o storm-$kernel -p "$pid" 2>err &
	attach=$!
	sees() { [ "$(vmaheap report --json -p "$pid" | jq '.spaces[0].calls.calls > 20000 and .spaces[0].found.at > 0')" = true ]; }
	until_true 60 sees || fail "$kernel: no calls are seen: $(cat err)"
	kill -INT $attach
	wait $attach
	is $? 0 "$kernel: attach ends on ^C"
	is "$(space storm-$kernel alloc_storm '[.doubts.double_allocs, .doubts.calls_lost]')" "[0,0]" \
		"$kernel: no thread's calls are taken for another one's"
	diag "$(tail -4 err)"
done
exec 3>&-
wait $job
is $? 0 "the victim has found nothing wrong"

# --- where nothing can be written no socket can be, so uprobes have to do
mkdir root
# shellcheck disable=SC2016
unshare -m sh -c 'mount -t tmpfs none root && cd root && mkdir usr dev && mount --rbind /usr usr && >dev/null && mount --bind /dev/null dev/null &&
	ln -s usr/lib usr/lib64 . && mount -o remount,ro . && exec chroot . /usr/bin/perl -e "@k = map { [\$_] } 1 .. 9, select undef, undef, undef, 0.01 while 1"' &
pid=$!
until_true 20 grep -qx perl /proc/$pid/comm || bail "perl does not run"
vmaheap attach -o ro -p $pid 2>err &
attach=$!
until_true 60 grep -q watching err || fail "no attach: $(cat err)"
like "$(cat err)" 'no folder that it sees takes a socket: Read-only file system; by uprobes instead' "it is said why"
sees() { [ "$(vmaheap report --json -p $pid | jq '.spaces[0].calls.calls > 100')" = true ]; }
until_true 60 sees || fail "no calls are seen"
kill -INT $attach
wait $attach
is $? 0 "attach ends on ^C"
kill -9 $pid

# attached CALLS TRACE NAME: to $pid, until so many calls are seen, then ^C
attached() {
	sees() { [ "$(vmaheap report --json -p $pid | jq ".spaces[0].calls.calls > $1")" = true ]; }
	vmaheap attach -o "$2" -p $pid 2>err &
	attach=$!
	until_true 60 sees "$1" || fail "$3: no calls are seen: $(cat err)"
	kill -INT $attach
	wait $attach
	is $? 0 "$3: attach ends on ^C"
}

# --- behind a filter, which containers have: one that lets the shim's calls through is no hindrance
filtered_storm() { # HOW
	rm -rf in storm-$1
	mkfifo in
	filtered "$1" alloc_storm 4 10 <in >storm.out 2>storm.err &
	pid=$!
	exec 3>in
	until_true 30 grep -q running storm.out || bail "the victim does not run: $(cat storm.err)"
	attached 20000 storm-$1 "filter, $1"
	exec 3>&-
	wait $pid
	is $? 0 "filter, $1: the victim has found nothing wrong"
}
for how in usual twice; do
	filtered_storm $how
	unlike "$(cat err)" 'uprobes' "filter, $how: the shim is in it"
	is "$(space storm-$how alloc_storm '[.doubts.double_allocs, .doubts.calls_lost]')" "[0,0]" \
		"filter, $how: new threads are heard as well"
done
filtered_storm socket
like "$(cat err)" 'a seccomp filter guards it, which may kill it .*; by uprobes instead' "filter without sockets: by uprobes"

# --- files that only the container has: their functions have names, also when it is gone
mkdir theirs
# shellcheck disable=SC2016
unshare -m sh -c 'mount -t tmpfs none theirs && cd theirs && mkdir usr run old dev && >dev/null && mount --rbind /usr usr && ln -s usr/lib usr/lib64 . &&
	cp /usr/bin/perl only-here && pivot_root . old && exec /only-here -e "@k = map { [\$_] } 1 .. 9, select undef, undef, undef, 0.01 while 1"' &
pid=$!
until_true 20 grep -qx only-here /proc/$pid/comm || bail "perl does not run"
attached 100 theirs.trace theirs
like "$(vmaheap script theirs.trace)" 'malloc\(.* <Perl_safesysmalloc\+0x[0-9a-f]+ \(only-here\)>' "theirs: functions have names"
kill -9 $pid
wait $pid 2>/dev/null
like "$(vmaheap script theirs.trace)" 'malloc\(.* <Perl_safesysmalloc\+0x[0-9a-f]+ \(only-here\)>' "theirs: and they have when it is gone"
rm theirs.trace/.symbols.*
like "$(vmaheap script theirs.trace)" 'malloc\(.* <only-here\+0x[0-9a-f]+>' "theirs: by what the trace has kept"
done_testing
