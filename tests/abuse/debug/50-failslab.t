#!/bin/bash
# Each allocation that a request, a load or a fork makes fails, one after the other. For the debug kernel:
# it has CONFIG_FAULT_INJECTION and CONFIG_DEBUG_KMEMLEAK.
. "$(dirname "$0")/../lib.sh"

debug=/sys/kernel/debug
only_atomic() { # Y or N: whether those that may sleep are left alone
	for f in failslab fail_page_alloc; do
		echo "$1" >$debug/$f/ignore-gfp-wait || bail "this kernel has no $f"
		echo 0 >$debug/$f/verbose
	done
}
only_atomic N
echo 0 >$debug/fail_page_alloc/min-order
ok "there is kmemleak" test -e $leaks

# failed_calls=0: each of its 13 kretprobes allocates 256 instances one by one, the kernel's own business.
for name in $($abuse fail); do
	[ "$name" = load ] || load failed_calls=0
	[ "$name" != load ] || unload
	ok "$name, each allocation failing once" $abuse fail "$name"
	told
	like "$(cat "$tmp/said")" "$name: [1-9][0-9]* failures" "$name: there were failures"
	# Forks differ in how many allocations they make, so a walk over all may miss ours. Nearly all of
	# those that must not sleep are ours, in its hook.
	if [ "$name" = fork ]; then
		only_atomic Y
		ok "fork, each atomic allocation failing once" $abuse fail fork
		told
		like "$(cat "$tmp/said")" " [1-9][0-9]* losses told" "a child that could not be followed is told"
		only_atomic N
	fi
	load
	# Where +PID was said, its session stays until the module goes.
	ok "$name: nothing is left hooked" until_true 60 test "$(status 'hooks armed')" = 0
	unload
done
load
well "failing allocations" last
done_testing
