#!/bin/bash
# Many processes, one after the other: what the daemon holds of those that have ended is bounded,
# what it says of all of them together is exact. No module is needed.
set -u
. "$(dirname "$0")/lib.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
cd "$tmp" || bail "no $tmp"
mkfifo in

# run NAME N OPTIONS...: N children; NAME.json is what the daemon says of their parent when all have
# ended, $rss what it takes then, KiB. The trace is in NAME.
run() {
	local name=$1 nr=$2
	shift 2
	vmaheap record --kernel=none -f "$@" -o "$name" -- shortlived "$nr" <in >"$name.truth" 2>"$name.err" &
	local recorder=$!
	exec 7>in
	until_true 60 grep -q child "$name.truth" || bail "the victim does not get on"
	vmaheap report --json -p "$(pgrep -P $recorder shortlived)" >"$name.json"
	rss=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$(pgrep -P $recorder vmaheap)/status")
	exec 7>&-
	wait $recorder
	is $? 0 "$nr children"
	like "$(cat "$name.err")" 'lost: 0$' "nothing lost"
}

# What a report says of all: calls, bytes asked for; chunks and bytes alive at the ends; doubts. (The
# parent allocates nothing. A process on its way out may be taken for two without the module.)
all='(.forgotten // { spaces: 0, live: { chunks: 0, bytes: 0 }, doubts: {} }) as $f |
	"\(.sum.calls) \(.sum.asked)" +
	" \(([.spaces[].live.chunks] | add) + $f.live.chunks) \(([.spaces[].live.bytes] | add) + $f.live.bytes)" +
	" \([.spaces[].doubts, $f.doubts | .[] // 0] | add)"'
# The same as the victim tells it, for N children.
truth() { awk -v n="$2" '/^child/ { print n * ($3 + $5), n * $7, n * $9, n * $11, 0 }' "$1.truth"; }

run all 50
few=$rss
vmaheap report --json all >all.report
is "$(jq -r "$all" all.report)" "$(truth all 50)" "the sums of all are what the victim did"
is "$(jq '[.spaces[] | select(.calls) | .pid] | unique | length' all.report)" 50 "a whole trace has every one of them"
is "$(jq .forgotten all.report)" null "and has forgotten none"

run end 200 --max-size=2M
is "$((rss < few + 3072))" 1 "four times as many take no more memory ($few KiB, $rss KiB)"
is "$(jq '.forgotten.spaces > 150' end.json)" true "for most are forgotten"
vmaheap report --json end >end.report 2>end.report.err
is "$(jq -r "$all" end.report)" "$(truth end 200)" "and the sums of all are exact"
is "$(jq '.forgotten.spaces + (.spaces | length) > 200' end.report)" true "none is missing"
like "$(cat end.report.err)" 'address spaces that had ended before it begins there are no details' "it says what is missing"
like "$(vmaheap report end 2>&1)" 'Of [0-9]+ address spaces no details are kept any more, only sums' "the report, too"
done_testing
