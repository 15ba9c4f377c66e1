#!/bin/bash
# The daemon, or the command, is killed at some moment of a recording.
. "$(dirname "$0")/lib.sh"

load
diag "seed $seed"
RANDOM=$((seed % 32768))
descendant() { pgrep -P "$1" -x vmaheap; }

# Every second time it is the command, whose daemon and target must not stay for ever.
kills() {
	local i recorder victim n
	for i in $(seq "$(times 200)"); do
		rm -rf "$tmp/killed"
		vmaheap record -o "$tmp/killed" -- $storm 2 2000 >"$tmp/out" 2>"$tmp/err" &
		recorder=$!
		# At any moment from its start on: so many looks at the process table later.
		for n in $(seq $((RANDOM % 40))); do
			victim=$(pgrep -P $recorder) || :
		done
		victim=$recorder
		[ $((i % 2)) = 0 ] || victim=$(descendant $recorder) || victim=
		[ -z "$victim" ] || kill -9 $victim 2>/dev/null
		wait $recorder 2>/dev/null
		pkill -9 -x mm_storm
		until_true 60 nothing_left || { cat /proc/vmaheap/status; return 1; }
		[ $((i % 20)) != 0 ] || echo "# $i times, $SECONDS s" >&3
	done
}
ok "killed $(times 200) times: nothing is left watched" kills 3>&1
well "a killed daemon" last
done_testing
