#!/bin/bash
# Loaded and unloaded while everything in the system maps, unmaps, forks and execs and a CPU comes and goes;
# every second time with a reader, every fourth with one that was killed just before. The debug kernel
# takes 80 s to come and go with a reader (each hook waits for all tasks): there it is every fiftieth.
. "$(dirname "$0")/lib.sh"

nice -n 15 stress-ng --quiet --vm 1 --vm-bytes 16M --mmap 1 --mmap-bytes 8M --mremap 1 --mremap-bytes 8M \
	--brk 1 --fork 1 >"$tmp/stress" 2>&1 &
stress=$!
nice -n 15 $storm 2 2000000000 &
target=$!

cpus() {
	while [ ! -e "$tmp/enough" ]; do
		echo 0 >/sys/devices/system/cpu/cpu1/online
		echo 1 >/sys/devices/system/cpu/cpu1/online
		sleep 1
	done
}
cpus 2>"$tmp/cpus" &
cpus=$!

cycles() {
	local i held every=2
	[ ! -e $leaks ] || every=50
	for i in $(seq "$(times 1000)"); do
		busybox insmod "$VMAHEAP_KO" || return
		if [ $((i % every)) = 0 ]; then
			$client hold $target >"$tmp/held" &
			held=$!
			until_true 300 grep -q watching "$tmp/held" || return
			[ $((i % (2 * every))) = 0 ] || kill -9 $held
			echo "+$stress" >/proc/vmaheap/watched || return
			busybox rmmod vmaheap || return
			kill -9 $held
			wait $held
		else
			busybox rmmod vmaheap || return
		fi 2>/dev/null
		[ $((i % 50)) != 0 ] || echo "# $i times, $SECONDS s" >&3
	done
	kill -0 $target $stress
}
ok "$(times 1000) times insmod and rmmod under load" cycles 3>&1
: >"$tmp/enough"
wait $cpus
is "$(cat "$tmp/cpus")" "" "a CPU came and went meanwhile"
{ kill $stress; wait $stress; kill -9 $target; wait $target; } 2>/dev/null
is "$(grep -v successful "$tmp/stress")" "" "stress-ng has nothing to report"
load
well "load and unload" last
done_testing
