#!/bin/bash
# The module's records are trace events, too: what ftrace shows of a recording is what babeltrace2
# reads in its trace, record by record and VMA by VMA.
set -u
. "$(dirname "$0")/lib.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
echo 1000 >/proc/sys/vm/max_map_count
load buffer_kib=4096
[ -d /sys/kernel/tracing/events ] || mount -t tracefs none /sys/kernel/tracing || bail "no tracefs"
events=/sys/kernel/tracing/events/vmaheap
buffer=/sys/kernel/tracing/instances/vmaheap
is "$(ls $events | grep vmaheap_ | xargs)" \
	"vmaheap_failed vmaheap_fault vmaheap_file vmaheap_lost vmaheap_madvise vmaheap_mm vmaheap_mm_exit vmaheap_range vmaheap_task vmaheap_task_exit vmaheap_vma" \
	"an event for each kind of record, and one for a VMA"
mkdir $buffer && echo 8192 >$buffer/buffer_size_kb && echo 1 >$buffer/events/vmaheap/enable || bail "no buffer of our own"
cd "$tmp" || bail "no $tmp"

for victim in maps failing family; do
	: >$buffer/trace
	vmaheap record -f --faults --alloc=none -o $victim -- $victim >$victim.truth 2>$victim.err ||
		fail "record ended with $?: $(cat $victim.err)"
	like "$(cat $victim.err)" 'lost: 0,' "$victim: nothing lost"
	grep -oE 'vmaheap_[a-z_]+: session=.*' $buffer/trace >$victim.ftrace
	babeltrace2 $victim | tr ABCDEFX abcdefx >$victim.ctf

	sed -nE 's/^vmaheap_range: session=[1-9][0-9]* seq=([0-9]*) mm=([0-9]*) tgid=([0-9]*) tid=([0-9]*) lo=([0-9a-fx]*) hi=([0-9a-fx]*) vmas=([0-9]*) syscall=(-?[0-9]*) brk=([0-9a-fx]*) .*/\1 \2 \3 \4 \5 \6 \7 \8 \9/p' \
		$victim.ftrace | sort -n >ftrace
	sed -nE 's/.* range: .* seq = ([0-9]*), mm = ([0-9]*), tgid = ([0-9]*), tid = ([0-9]*) .*lo = ([0-9a-fx]*), hi = ([0-9a-fx]*), .* brk = ([0-9a-fx]*), start_stack.*syscall = (-?[0-9]*), .* nr_vmas = ([0-9]*),.*/\1 \2 \3 \4 \5 \6 \9 \8 \7/p' \
		$victim.ctf | sort -n >ctf
	ok "$victim: there are records" test "$(wc -l <ctf)" -gt 20
	is "$(cat ftrace)" "$(cat ctf)" "$victim: each range, its call and the brk"

	sed -nE 's/^vmaheap_vma: .* start=([0-9a-fx]*) end=([0-9a-fx]*) flags=([0-9a-fx]*) offset=([0-9a-fx]*) .* ino=([0-9]*)/\1 \2 \3 \4 \5/p' \
		$victim.ftrace | sort >ftrace
	grep ' range: ' $victim.ctf | grep -oE 'start = [0-9a-fx]*, end = [0-9a-fx]*, offset = [0-9a-fx]*, ino = [0-9]*, dev = [0-9a-fx]*, flags = [0-9a-fx]*' |
		sed -E 's/start = (.*), end = (.*), offset = (.*), ino = (.*), dev = .*, flags = (.*)/\1 \2 \5 \3 \4/' | sort >ctf
	ok "$victim: there are VMAs" test "$(wc -l <ctf)" -gt 50
	ok "$victim: each VMA of each range" diff ftrace ctf
	sed -nE 's/^vmaheap_fault: .* seq=([0-9]*) .* addr=([0-9a-fx]*) ip=([0-9a-fx]*) syscall=(-?[0-9]*) .*/\1 \2 \3 \4/p' \
		$victim.ftrace | sort -n >ftrace
	sed -nE 's/.* fault: .* seq = ([0-9]*), .*addr = ([0-9a-fx]*), ip = ([0-9a-fx]*), syscall = (-?[0-9]*), .*/\1 \2 \3 \4/p' \
		$victim.ctf | sort -n >ctf
	# How many of a file's pages one fault brings depends on what is cached.
	ok "$victim: there are page faults" test "$(wc -l <ctf)" -gt 20
	is "$(cat ftrace)" "$(cat ctf)" "$victim: each of them"
	for kind in mm mm_exit file madvise failed task task_exit; do
		is "$(grep -c "^vmaheap_$kind: " $victim.ftrace)" "$(grep -c " $kind: " $victim.ctf)" "$victim: each $kind"
	done
done
like "$(cat maps.ftrace)" '^vmaheap_file: .* path=/.*/maps$' "a file has its path"

# Nobody listens, and then nothing is left.
rmdir $buffer || fail "the buffer is in use"
ok "the module can go" rmmod vmaheap
is "$(ls -d $events 2>/dev/null)" "" "and its events with it"
is "$(dmesg | grep -cE 'BUG|WARNING|Oops')" 0 "the kernel has nothing to complain of"
done_testing
