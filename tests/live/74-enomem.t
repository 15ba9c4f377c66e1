#!/bin/bash
# `why enomem`: the reasons as the victim provoked them, the count of VMAs and whose they are, what
# splits; and in each layout, of 64 and of 32 bits, the room that the heap has: to the page, for the
# victim's break goes so far, and no page further.
set -u
. "$(dirname "$0")/lib.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
echo 1000 >/proc/sys/vm/max_map_count
load
cd "$tmp" || bail "no $tmp"

vmaheap record --alloc=none -o failing -- failing >failing.truth 2>failing.err || fail "record ended with $?: $(cat failing.err)"
vmaheap why enomem --json failing >failing.json || fail "why enomem ended with $?"
# "No hole so large" is the victim's 64 TiB only where that is so; else nothing was the matter but overcommit.
is "$(jq -r '.failed[] | "\(.syscall) ENOMEM \(.reason) \(.calls)"' failing.json | sort)" \
	"$(sed -n 's/^failed \(.* ENOMEM\)/\1/p' failing.truth | sort)" "why each call failed"
# As the program died, the count stood at the limit.
is "$(jq '.map_count.vmas == ([.makers[].vmas] | add)' failing.json) $(jq '.map_count.vmas >= 990' failing.json)" "true true" "each VMA has a maker"
like "$(jq -r '.makers[0] | "\(.made.syscall.name) \(.vmas)"' failing.json)" '^mmap 9[0-9][0-9]$' "and most are of one mmap"
like "$(vmaheap why enomem failing)" '^ENOMEM: 5 mmap: vm.max_map_count' "in words"
like "$(vmaheap why enomem failing)" 'permissions 9[0-9][0-9]' "which neighbours did not merge, and why"
echo 65530 >/proc/sys/vm/max_map_count

# Who splits: the loader's and the program's own mprotect.
vmaheap record -o arena -- alloc_threads 200 >/dev/null 2>&1
vmaheap why enomem --json arena >arena.json
is "$(jq '([.calls[] | .in_calls + .outside] | add) + ([.makers[] | select(.made.kind == "exec") | .vmas] | add) >= .map_count.vmas' arena.json)" \
	true "calls account for the VMAs that came after exec"
is "$(jq '[.calls[] | .in_calls] | add == ([input.callers[].vmas] | add)' arena.json arena.json)" true "allocator calls: the same by caller"

# --- the room, in each layout
overcommit=$(cat /proc/sys/vm/overcommit_memory)
echo 1 >/proc/sys/vm/overcommit_memory # nothing but room shall matter
page=4096
# room NAME LAYOUT BITS COMMAND...
room() {
	local name=$1 layout=$2 bits=$3 pid json end real most
	shift 3
	rm -f to
	mkfifo to
	vmaheap record --alloc=none -o "room-$name" -- "$@" <to >"$name.truth" 2>"$name.err" &
	exec 8>to
	until_true 60 grep -q ^map "$name.truth" || bail "$name does not run: $(cat "$name.err")"
	pid=$(pgrep -x "${name%%-L}")
	json=$(vmaheap why enomem --json -p "$pid")
	is "$(jq -c '[.layout, .bits, .limits.overcommit_memory, .map_count.max]' <<<"$json")" "[\"$layout\",$bits,1,65530]" "$name: the layout"
	is "$(jq -r .map_count.vmas <<<"$json")" "$(wc -l <"/proc/$pid/maps")" "$name: as many VMAs as maps has lines"
	is "$(jq -r '.heap | "\(.start) \(.end)"' <<<"$json")" "$(sed -n 's/^brk 0*\([^ ]*\) 0*\(.*\)/0x\1 0x\2/p' "$name.truth")" "$name: its heap"
	is "$(jq -c '[.calls[] | select(.name == "mprotect") | .outside, (.in_calls)]' <<<"$json")" '[2,0]' "$name: mprotect split one into three"
	is "$(jq -c '[.splits[] | .by.syscall.name, .borders]' <<<"$json")" '["mprotect",2]' "$name: and has both borders"
	end=$(($(jq -r .heap.end <<<"$json")))
	real=$(jq .heap.real <<<"$json")
	most=$(jq .heap.most <<<"$json")
	if [ "$layout" = legacy ]; then # the kernel begins there, or at random a bit above
		is "$most $((real >= most))" "$(((bits == 32 ? 0x55555000 : 0x2aaaaaaab000) - page - end)) 1" "$name: what its layout leaves it"
	else
		is "$((most >= real))" 1 "$name: by its layout it could have more"
	fi
	printf '%x\n' $((end + real)) $((end + real + page)) >&8
	until_true 60 eval "[ \$(grep -c ^grew $name.truth) = 2 ]" || fail "$name: no answer"
	is "$(sed -n 's/^grew 0*//p' "$name.truth" | awk '{ print $1, $2 + 0 }' | xargs)" \
		"$(printf '%x 1 %x 0' $((end + real)) $((end + real + page)))" "$name: its heap can grow by $real bytes, and no page more"
	exec 8>&-
	wait $!
	is "$(vmaheap why enomem --json "room-$name" | jq -c '[.layout, .bits, .limits]')" "[\"$layout\",$bits,null]" "$name: of the trace, too"
}
room room "top down" 64 room
room room-L legacy 64 setarch -L room
room room-32 "top down" 32 room-32
room room-32-L legacy 32 setarch -L room-32
like "$(vmaheap why enomem room-room-32)" 'Calls of 32-bit programs that fail are not recorded' "what is not known of 32 bits is said"
like "$(vmaheap maps room-room-32)" '^0*[0-9a-f]{8}-[0-9a-f]{8} +r--p' "maps of 32 bits"
like "$(vmaheap script room-room-32)" 'mprotect\(0x' "and its calls have their names"
vmaheap record -o shim32 -- room-32 </dev/null >/dev/null 2>shim32.err
is $? 0 "the shim was asked for: it runs all the same"
like "$(cat shim32.err)" 'room-32 is no 64-bit program.*allocator opaque' "and this is said"
echo "$overcommit" >/proc/sys/vm/overcommit_memory
rmmod vmaheap
is "$(dmesg | grep -cE 'BUG|WARNING|Oops')" 0 "the kernel has nothing to complain of"
done_testing
