#!/bin/bash
# First touches: each page fault is told (getrusage(2) counts as many), in its place among the allocator
# calls; which chunk it was for, when and by whom; and what the victim knows of that.
set -u
. "$(dirname "$0")/lib.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
load buffer_kib=4096
cd "$tmp" || bail "no $tmp"

vmaheap record --faults -o t -- touches >truth 2>err || fail "record ended with $?: $(cat err)"
like "$(cat err)" 'lost: 0,' "nothing lost"
vmaheap script --json t | jq -c 'select(.kind == "fault")' >faults
like "$(vmaheap script t)" 'fault: write of 0x[0-9a-f]+ at .*: first touch of its page, \+[0-9]+ in malloc\(262144\) from by_the_program\+' \
	"script: in words"

# All of them, by the kernel's own count.
read -r from to count < <(sed -n 's/^marks //p' truth)
is "$(jq -s --arg from "$from" --arg to "$to" 'map(.addr) | rindex($to) - rindex($from)' faults)" "$count" \
	"as many as getrusage counts"

# Of each chunk, by the victim's own count.
while read -r name addr bytes pages; do
	is "$(jq -s --arg addr "$addr" --argjson bytes "$bytes" \
		'map(select(.first and .chunk.addr == $addr and .chunk.size == $bytes)) | length' faults)" "$pages" \
		"$name: so many of its pages"
done < <(grep -v ^marks truth)
is "$(jq -s --arg addr "$(awk '/^kernel/ { print $2 }' truth)" \
	'map(select(.first and .chunk.addr == $addr) | .syscall) | unique | tojson' -r faults)" '["read"]' \
	"kernel: it was read() that touched them"
is "$(jq -s 'map(select(.first | not) | select(.present)) | length' faults)" \
	"$(jq -s 'map(select(.present)) | length' faults)" "where there is a page it is no first touch"

# The report: by who allocated the chunk.
vmaheap report --json t >report.json
touches() { jq -r --arg f "$1" ".spaces[0].touches.sites[] | select(.caller.symbol // \"\" | startswith(\$f)) | $2" report.json; }
is "$(jq '.spaces[0].touches.faults' report.json)" "$(wc -l <faults)" "report: as many"
is "$(jq '.spaces[0].touches | .in_chunks == ([.sites[].touches] | add)' report.json)" true "the sites are all of them"
is "$(touches by_the_program .touches)" 64 "report: program"
is "$(touches by_the_program '.delay > 50000000')" true "which waited for 50 ms"
is "$(touches by_the_kernel '"\(.touches) \(.in_kernel)"')" "64 64" "report: kernel, in system calls"
is "$(touches twice .touches)" 20 "report: twice"
is "$(touches by_nobody .touches)" "" "report: what nobody touched"
like "$(vmaheap report t)" '^ +64 +64 +[0-9.]+ +[0-9.]+ +by_the_kernel\+' "in words"

# One pointer.
why() { vmaheap why "$(printf '%#x' $(($(awk -v n="$1" '$1 == n { print $2 }' truth) + $2)))" t; }
like "$(why program 8192)" 'touched +first at .* ms after the chunk was allocated, a write at .*, thread [0-9]+$' \
	"why: when, and by whom"
like "$(why kernel 8192)" 'touched .* a write in read\(\) at .*, thread [0-9]+$' "why: by the kernel"
like "$(why nobody 8192)" 'touched +not known: no page fault' "why: never"
like "$(why twice 8192)" 'touched +not known: no page fault' "why: given back"
like "$(why before 8192)" 'touched .*before the chunk was allocated' "why: by its place's chunk before"
is "$(vmaheap why --json "$(awk '/^program/ { print $2 }' truth)" t | jq '.touched.after')" null \
	"the first page was malloc's own"

# Without --faults nothing is said of them.
vmaheap record -o none -- touches >/dev/null 2>&1
is "$(vmaheap script --json none | jq -r .kind | grep -c fault)" 0 "no --faults, no faults"
is "$(vmaheap report --json none | jq '.spaces[0].touches')" null "not known is null"
unlike "$(vmaheap report none; vmaheap why "$(awk '/^nobody/ { print $2 }' truth)" none)" 'touched|Page faults' "and nothing is said"

# A running process, and its children.
vmaheap record --faults -f -o family -- sh -c 'touches; touches & wait' >/dev/null 2>err
like "$(cat err)" 'lost: 0,' "children: nothing lost"
is "$(vmaheap report --json family | jq '[.spaces[] | select(.comm == "touches") | .touches.faults > 100]' -c)" \
	'[true,true]' "children: theirs as well"
exits 125 "without the module it is refused" vmaheap record --faults --kernel=none -- true
like "$(cat "$tmp/said")" 'faults.*module' "with the reason"
like "$(cat /proc/vmaheap/status)" 'page faults traced: no' "nothing is traced any more"

# A real program, all of it, and the model beside /proc/PID/maps.
vmaheap record --faults --verify=20 -o perl -- perl -e 'my @a = map { "x" x 5000 } 1 .. 3000; push @a, split(/x/, $a[0]); print scalar(@a), "\n"' >out 2>err ||
	fail "record ended with $?: $(cat err)"
like "$(cat err)" 'lost: 0,' "perl: nothing lost"
like "$(cat err)" ' 0 mismatches' "perl: to the page"
vmaheap report --json perl >report.json
# Of most pages malloc is the first to touch them, for the size of what is left lies there.
diag "$(jq -c '.spaces[-1].touches | del(.sites)' report.json)"
is "$(jq '.spaces[-1].touches | .first > 3500 and .in_chunks > 500 and .first >= .in_chunks' report.json)" true \
	"perl: 15 MB are touched"

unload
is "$(dmesg | grep -cE 'BUG|WARNING|Oops')" 0 "the kernel has nothing to complain of"
done_testing
