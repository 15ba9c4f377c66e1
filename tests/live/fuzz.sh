# shellcheck shell=bash
# For 60-mmfuzz.t and 61-hooks.t, behind lib.sh: the machine that the fuzzer wants, and one run.

# Few huge pages, a device to swap to, core dumps, a cgroup for OOM kills, and a max_map_count
# that can be used up in no time.
fuzz_machine() {
	ulimit -c unlimited
	echo "$tmp/core.%s" >/proc/sys/kernel/core_pattern # by signal: most die as they should
	echo 16 >/proc/sys/vm/nr_hugepages
	echo 3000 >/proc/sys/vm/max_map_count
	if ! grep -q zram0 /proc/swaps; then
		modprobe zram && echo 64M >/sys/block/zram0/disksize && mkswap /dev/zram0 >/dev/null &&
			swapon /dev/zram0 || bail "no swap"
	fi
	fuzz_cgroup=/sys/fs/cgroup/mmfuzz
	mkdir -p $fuzz_cgroup && echo +memory >/sys/fs/cgroup/cgroup.subtree_control &&
		echo 16M >$fuzz_cgroup/memory.max && echo 0 >$fuzz_cgroup/memory.swap.max || bail "no cgroup for OOM kills"
	dmesg -n 1 # an OOM kill tells a long story, and the console is slow
}

# fuzz OPTIONS: one run; its output is in $tmp/fuzz, its figures in the array `figure`: those of
# mmfuzz, and of the trace: map_count (mismatches), lost, madvise (records), spaces. Without those of
# mmfuzz it has not come to its end. madvises: those that the module must have told, which is not
# those of io_uring where only the system call can be hooked.
declare -A figure
fuzz() {
	local pair recorder status=0
	rm -rf "$tmp/trace"
	timeout -k 5 "${fuzz_seconds:-280}" vmaheap record -f --alloc=none -o "$tmp/trace" -- \
		build/tests/live/mmfuzz --cgroup $fuzz_cgroup "$@" >"$tmp/fuzz" 2>&1 &
	recorder=$!
	if [ -n "${fuzz_kill-}" ]; then # as soon as the figures are there
		until_true "${fuzz_seconds:-280}" grep -q ^mmfuzz: "$tmp/fuzz"
		pkill -KILL -P $recorder
	fi
	wait $recorder || status=$?
	figure=([status]=$status)
	for pair in $(sed -n 's/^mmfuzz: //p' "$tmp/fuzz" | tail -n 1); do
		figure[${pair%%=*}]=${pair#*=}
	done
	if grep -q '^hook do_madvise' /proc/vmaheap/status && [ -n "${figure[madvises]-}" ]; then
		figure[madvises]=$((figure[madvises] + figure[uring_madvises]))
	fi
	for pair in $(vmaheap report --json "$tmp/trace" 2>/dev/null | jq -r '
		"map_count=\([.spaces[].doubts.map_count_mismatches] | add)",
		"madvise=\([.spaces[].kernel.madvises] | add)",
		"lost=\(.lost.kernel_lost + .lost.invalid)", "spaces=\(.spaces | length)"'); do
		figure[${pair%%=*}]=${pair#*=}
	done
}
