#!/bin/bash
# Waste by who allocated it, of a victim that knows: untouched, rounded, held, huge. What the sites
# have and what nobody has is what the kernel says of these VMAs, to the byte.
set -u
. "$(dirname "$0")/lib.sh"

load
PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
cd "$tmp" || bail "no $tmp"
mkfifo to
vmaheap record --stacks -o trace -- lazy <to >out 2>err &
recorder=$!
exec 8>to
until_true 60 grep -q ready out || bail "$(cat err)"
pid=$(pgrep -x lazy)
vmaheap report --waste --json -p "$pid" >json || bail "$(cat json)"

# vma START KEY: of smaps, in bytes
vma() {
	awk -v start="${1#0x}" -v key="$2:" '/^[0-9a-f]+-/ { at = index($1, start "-") == 1 } at && $1 == key { print $2 * 1024 }' \
		"/proc/$pid/smaps"
}
nr=0 same=0
while read -r start size resident swapped huge untouched; do
	nr=$((nr + 1))
	if [ "$size $resident $swapped $huge" = "$(vma "$start" Size) $(vma "$start" Rss) $(vma "$start" Swap) $(vma "$start" AnonHugePages)" ] &&
		[ $((resident + swapped + untouched)) = "$size" ]; then
		same=$((same + 1))
	else
		diag "$start: $size $resident $swapped $huge $untouched, smaps: $(vma "$start" Size) $(vma "$start" Rss) $(vma "$start" Swap) $(vma "$start" AnonHugePages)"
	fi
done < <(jq -r '.vmas[] | "\(.start) \(.size) \(.resident) \(.swapped) \(.huge) \(.untouched)"' json)
is "$same of $nr" "$nr of $nr" "each VMA is as smaps has it"
# Without huge pages no mapping is aligned for them, so those of two chunks may be one VMA.
least=3
[ -e /sys/kernel/mm/transparent_hugepage ] || least=2
ok "the heap, and two chunks with mappings of their own at least" test "$nr" -ge $least
for what in resident swapped untouched spare; do
	is "$(jq "([.sites[].$what] | add) + .nobody.$what" json)" "$(jq "[.vmas[].$what] | add" json)" "$what: sites and nobody have all of it"
done

site() { jq ".sites[] | select(.stack.frames[0].symbol // \"\" | startswith(\"$1+\")) | $2" json; }
is "$(site mostly_untouched '[.live, .resident, .untouched]' | jq -c .)" "[67108864,$((257 * 4096)),$((16128 * 4096))]" \
	"64 MiB of which one was written to, and the page of its end"
is "$(site rounded '[.chunks, .live, .slack_chunks, .slack]' | jq -c .)" '[1000,25000,1000,15000]' "1000 times 25 bytes have 15 more each"
is "$(site holes '[.chunks, .hostage > 0, .resident > 3 * .live]' | jq -c .)" '[100,true,true]' "the few that were kept pay for their pages"
huge=$(jq '[.vmas[].huge] | add' json)
diag "$huge bytes in huge pages"
if [ "$huge" -gt 0 ]; then
	is "$(site one_byte_each '[.resident, .spare]' | jq -c .)" "[8388608,$((8388608 - 4 * 4096))]" "all but 4 pages of the huge ones are zeroes"
else
	is "$(site one_byte_each '[.resident, .spare]' | jq -c .)" "[$((4 * 4096)),0]" "no huge pages: 4 pages were touched"
fi
is "$(jq .total.hostage json)" "$(vmaheap why held --json -p "$pid" | jq '[.arenas[] | (.pins | if length > 0 then .[-1].back else 0 end) - (if (.pins | length) > 0 then .trim_now else 0 end)] | add')" \
	"hostages are what why held says"
is "$(jq .total.calls json)" "$(vmaheap report --json -p "$pid" | jq '[.spaces[0].callers[]?.events] | add')" "calls are what report says"
like "$(vmaheap report --waste=untouched -p "$pid" | sed -n '/live  *chunks/{n;p}')" '^ *65536 +1 +1028 +64512 .* mostly_untouched\+' "in words, by what was asked for"
is "$(vmaheap report --folded=untouched -p "$pid" | awk '/;mostly_untouched [0-9]+$/ { print $NF }')" $((16128 * 4096)) "folded"
exits 125 "an unknown order" vmaheap report --waste=colour -p "$pid"
vmaheap why held --json -p "$pid" >held
is "$(vmaheap report --waste=live --json -p "$pid" | jq -c '[.sites[0].freed, .sites[0].live]')" "[$((257 * 4096)),67108864]" "if what is mapped were freed, its pages go back"

at=$(jq '(.now - .start) / 1e9' < <(vmaheap maps --json -p "$pid"))

# --- the counterfactual, carried out
anonymous() { awk '/^Anonymous:/ { print $2 * 1024 }' "/proc/$pid/smaps_rollup"; }
said=$(($(site holes .freed) + $(jq .trim_now held)))
before=$(anonymous)
echo f >&8
until_true 60 grep -q freed out || bail "the victim does not obey"
went=$((before - $(anonymous)))
diag "said $said, $went bytes went back"
is "$((went - said <= 4096 && said - went <= 4096 && said > 1000000))" 1 "what goes back when a site's chunks are freed, to the page"
exec 8>&-
wait $recorder
is $? 0 "the victim goes on as if nothing had been"

# --- of a trace: what is live and who called the kernel
vmaheap report --waste --json trace >json
is "$(jq .total.live json)" "$(vmaheap report --json trace | jq '.spaces[0].live.bytes')" "a trace: live bytes are what report says"
is "$(jq -c '[.total | .resident, .untouched, .slack, .hostage]' json)" '[null,null,null,null]' "what it cannot know is null"
like "$(vmaheap report --waste=hostage trace)" '^Of a trace: pages, slack and hostages are not known' "in words"
like "$(vmaheap report --waste=hostage trace)" '^ *65536 +1( +\?){5} ' "and with ? for each"
exits 125 "folded by what a trace does not know" vmaheap report --folded=hostage trace
like "$(cat "$tmp/said")" 'not known' "is refused, with a reason"
vmaheap why held --json --at "$at" trace >json
is "$(jq -c '[.heaps[] | select(.kind == "heap")][0].pins | map(.addr)' json)" "$(jq -c '.arenas[0].pins | map(.addr)' held)" \
	"why held of a trace: the pins are those of malloc's books"
is "$(jq -n --slurpfile t json --slurpfile p held '[$t[0].heaps[] | select(.kind == "heap")][0].empty >= $p[0].trim_now')" true \
	"and no more goes back than it says"
done_testing
