#!/bin/bash
# Eight threads whose allocator calls go to the kernel: of every VMA change vmaheap knows the
# call that made it, or that none did.  The victim notes when each of its calls began and
# ended, so the truth owes nothing to the stamp page, by which vmaheap knows.
set -u
. "$(dirname "$0")/lib.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
load
cd "$tmp" || bail "no $tmp"
[ $# -gt 0 ] || set -- 300

# What vmaheap says: "range TID TS" of each change, and "call TID OP SIZE ADDR CHANGES" of each
# call as it ends: it claims that many of the changes of its thread before it. (A thread's first
# call finds the shim mapping a ring for it, which is none of the allocator's doing.)
told() {
	vmaheap script --json "$1" | jq -r '
		if .kind == "range" and (.snapshot | not) then
			select(.changes[0].name != "[vmaheap]") | "range \(.tid) \(.ts)"
		elif .kind != "call" then empty
		elif .phase == "free" then "free \(.tid) \(.addr)"
		elif .phase == "leave" then "leave \(.tid) \(.vma_events)"
		elif .phase == "realloc_enter" then empty
		else "call \(.tid) \(.op) \(.size) \(.addr) \(.vma_events)" end'
}

# Prints "CHANGES JUDGED INSIDE RIGHT" and a line for each that is wrong. A change of one of the
# threads, from its first call to its last, is judged.
judge() { # TRUTH TOLD
	awk '
	function claim(tid, n, by,	i) {
		for (i = waiting[tid] + 0; i < seen[tid]; i++)
			says[tid, i] = i >= seen[tid] - n ? by : "own"
		waiting[tid] = seen[tid]
	}
	FNR == NR {
		n = calls[$1]++
		begin[$1, n] = $2; end[$1, n] = $3
		did[$1, n] = $4 == "own" ? "own" : $4 == "free" ? "free " $6 : $4 " " $5 " " $6
		next
	}
	!($2 in calls) { next }
	$1 == "range" { ts[$2, seen[$2]++ + 0] = $3 }
	$1 == "free" { freed[$2] = $3 }
	$1 == "leave" { claim($2, $3, "free " freed[$2]) }
	$1 == "call" { claim($2, $6, $3 " " $4 " " $5) }
	END {
		for (t in calls) {
			claim(t, 0)
			k = 0
			for (i = 0; i < seen[t]; i++) {
				all++
				while (k < calls[t] && end[t, k] < ts[t, i]) k++
				if (k == calls[t] || (ts[t, i] < begin[t, k] && !k)) continue
				judged++
				truth = ts[t, i] < begin[t, k] ? "own" : did[t, k]
				inside += truth != "own"
				if (says[t, i] == truth) right++
				else print "thread " t " at " ts[t, i] ": " says[t, i] ", but it was " truth >"/dev/stderr"
			}
		}
		print all + 0, judged + 0, inside + 0, right + 0
	}' "$1" "$2"
}

vmaheap record -o trace -- causes "$1" >truth 2>err || fail "record ended with $?: $(cat err)"
like "$(cat err)" 'lost: 0,' "nothing lost"
told trace >told
read -r all judged inside right < <(judge truth told 2>wrong)
diag "$(grep -c . truth) calls in 8 threads; $all changes of theirs, $judged judged, $inside inside of calls; $right right"
is "$right" "$judged" "every change is put down to the call in whose time it lies, or to none"
diag "$(head -n 10 wrong)"
ok "which were many" test "$inside" -gt "$((3 * $1))"
ok "in and out of calls" test "$judged" -gt "$((inside + $1 / 2))"
ok "nearly all are judged" test "$((all - judged))" -lt 100
for call in mmap munmap mremap mprotect; do
	ok "calls have made $call" grep -q "\"name\": *\"$call\"" <(vmaheap report --json trace |
		jq '.spaces[0].syscalls[] | select(.in_calls > 0)')
done
is "$(cut -d' ' -f1 truth | sort -u | wc -l)" 8 "eight threads"
done_testing
