#!/bin/bash
# The daemon, or the command, is killed at some moment of a recording.
. "$(dirname "$0")/lib.sh"

load
diag "seed $seed"
RANDOM=$((seed % 32768))

# The command whose daemon has died waits for its target, which is killed, whenever it may have begun.
over() {
	pkill -9 -x mm_storm
	! kill -0 "$recorder"
}

# Every second time it is the command, whose daemon and target must not stay for ever.
killed=
kills() {
	local i n victim who began
	for i in $(seq "$(times 200)"); do
		began=$SECONDS
		rm -rf "$tmp/killed"
		vmaheap record -o "$tmp/killed" -- $storm 2 2000000000 >"$tmp/out" 2>"$tmp/err" &
		recorder=$!
		# At any moment from its start on: so many programs later.
		for n in $(seq $((RANDOM % 40))); do
			/bin/true
		done
		victim=$recorder
		who=command
		if [ $((i % 2)) = 1 ] && pgrep -o -P $recorder -x vmaheap >"$tmp/daemon"; then
			victim=$(cat "$tmp/daemon")
			who=daemon
		fi
		kill -9 "$victim" || who=nobody
		until_true 75 over || { echo "$i: the command stays, $who was killed"; return 1; }
		wait $recorder
		pkill -9 -x mm_storm
		until_true 60 nothing_left || { echo "$i: $who was killed"; cat /proc/vmaheap/status; return 1; }
		killed+=$who$'\n'
		[ $((i % 20)) != 0 ] && [ ! -e $leaks ] || echo "# $i: $who, after $((SECONDS - began)) s" >&3
	done 2>/dev/null
}
ok "killed $(times 200) times: nothing is left watched" kills 3>&1
diag "killed: $(sort <<<"${killed%$'\n'}" | uniq -c | xargs)"
well "a killed daemon" last
done_testing
