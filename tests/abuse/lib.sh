# shellcheck shell=bash
# For the tests that abuse the module: after each, the kernel has said nothing, nothing is left
# watched, hooked or leaked, and a recording is exact.
#
#   times 1000          how often: so often in the long form (make test-debug, VMAHEAP_ABUSE=100), and
#                       that many per cent of it, but once at least, in make test
#   well AFTER [last]   the checks; in the short form the costly ones only where it says last
. "$(dirname "${BASH_SOURCE[0]}")/../live/lib.sh"

abuse=build/tests/live/modabuse
client=build/tests/live/modclient
storm=build/tests/victims/mm_storm
leaks=/sys/kernel/debug/kmemleak
seed=${VMAHEAP_SEED:-$RANDOM$RANDOM}

times() {
	local n=$(($1 * ${VMAHEAP_ABUSE:-1} / 100))
	echo $((n > 0 ? n : 1))
}

status() { sed -n "s/^$1: //p" /proc/vmaheap/status; }
nothing_left() { [ "$(status sessions) $(status processes) $(status mms) $(status 'hooks armed') $(status 'stamps mapped')" = "0 0 0 0 0" ]; }

# What the program said, and its figures beside the test.
told() { diag "$(grep '^# ' "$tmp/said" | sed 's/^# //')"; }

# kmemleak keeps back objects younger than 5 s (mm/kmemleak.c 6.1, MSECS_MIN_AGE). What only a register
# held is found in a second scan; a scan takes half a minute here. Only the debug kernel has kmemleak.
no_leaks() {
	sleep 6
	echo scan >$leaks
	grep -q . $leaks || return 0
	echo scan >$leaks
	! grep . $leaks
}

no_complaint() { ! dmesg | grep -E -f tests/vm/patterns; }

# keep_hooks, drop_hooks: a watch of this shell around what comes and goes by the thousand. The debug
# kernel takes 20 s, under load 100 s, to arm and disarm; 10-load.t and 40-daemon.t do that.
keep_hooks() {
	holder=
	[ -e $leaks ] || return 0
	$client hold $$ >"$tmp/holder" &
	holder=$!
	until_true 300 grep -q watching "$tmp/holder" || bail "no watch to keep the hooks"
}
drop_hooks() { [ -z "$holder" ] || { kill -9 "$holder"; wait "$holder"; } 2>/dev/null; }

exact() {
	vmaheap record -o "$tmp/exact.$1" --verify=50 -- $storm 2 300 || return
	rm -rf "$tmp/exact.$1"
}

well() {
	ok "$1: nothing is left of it" until_true 60 nothing_left
	ok "$1: the kernel has nothing to complain of" no_complaint
	[ "${VMAHEAP_ABUSE:-1}" -ge 100 ] || [ "${2-}" = last ] || return 0
	ok "$1: a recording is exact" exact $tap_count
	like "$(grep -h '^verify:' "$tmp/said")" '^verify: [1-9][0-9]* checks, .* 0 mismatches' "$1: to the page"
	ok "$1: the module can go" rmmod vmaheap
	[ ! -e $leaks ] || ok "$1: nothing leaked" no_leaks
	ok "$1: and still nothing to complain of" no_complaint
	load
}

[ ! -e $leaks ] || echo scan=off >$leaks # by itself, every 10 minutes
