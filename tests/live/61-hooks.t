#!/bin/bash
# No hook is one too many: with any one left out (a build of the module for this test can), the
# fuzzer or the map_count check notices.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fuzz.sh"

fuzz_machine
test_ko=$(dirname "$VMAHEAP_KO")-test/vmaheap.ko
like "$(modinfo "$test_ko")" 'leave_out' "the module for this test can leave out a hook"
unlike "$(modinfo "$VMAHEAP_KO")" 'leave_out' "the real one cannot"

# without HOOK: runs the fuzzer; what was noticed is in $noticed
without() {
	local key
	insmod "$test_ko" leave_out="$1" || bail "insmod $test_ko failed"
	hooks=$(sed -n 's/^hook \([a-z_0-9]*\):.*/\1/p' /proc/vmaheap/status)
	fuzz --short --seed 7 --ops 1200 --round 50 --workers 2 --threads 2
	rmmod vmaheap || bail "the module cannot be unloaded"
	[ "${figure[operations]-0}" -ge 1000 ] || bail "without $1 the fuzzer does not run: $(tail -n 5 "$tmp/fuzz")"
	noticed=
	for key in mismatches missing left map_count; do
		case ${figure[$key]-0} in
		0 | null) ;;
		*) noticed+="$key=${figure[$key]} " ;;
		esac
	done
	case ${figure[madvise]-} in
	null | '') ;;
	*) [ "${figure[madvise]}" -ge "${figure[madvises]}" ] || noticed+="madvise=${figure[madvise]} of ${figure[madvises]} " ;;
	esac
}

without none
is "$noticed" "" "with all of them there is nothing to notice"
ok "the module names its hooks" test "$(wc -w <<<"$hooks")" -ge 8
for hook in $hooks; do
	# Nobody tells record of the end of its processes: it is ended with the fuzzer.
	fuzz_kill=
	[ "$hook" != sched_process_exit ] || fuzz_kill=yes
	without "$hook"
	like "$noticed" '=' "without $hook: $noticed"
done
is "$(dmesg | grep -cE 'BUG|WARNING|Oops')" 0 "the kernel has nothing to complain of"
done_testing
