#!/bin/bash
# Resident, swapped, huge and untouched bytes of each VMA are those of /proc/PID/smaps, byte for
# byte, while the process stands still.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fuzz.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
fuzz_machine
load
cd "$tmp" || bail "no $tmp"
head -c 65536 /dev/urandom >file
mkfifo go

# START SIZE RESIDENT SWAPPED HUGE of each VMA but [vsyscall]: hugetlb counts as resident and huge,
# which smaps tells apart. Rss of [vvar] is 0: its pages are the kernel's.
by_smaps() {
	awk 'function out() { if (start != "") print start, size, rss + tlb, swap, huge + tlb }
	/^[0-9a-f]+-[0-9a-f]+ / { out(); split($1, a, "-"); start = a[1]; rss = swap = huge = tlb = size = 0
		if (/\[vsyscall\]/) start = "" }
	$1 == "Size:" { size = $2 * 1024 }
	$1 == "Rss:" { rss = $2 * 1024 }
	$1 == "Swap:" { swap = $2 * 1024 }
	$1 ~ /^(AnonHugePages|ShmemPmdMapped|FilePmdMapped):/ { huge += $2 * 1024 }
	$1 ~ /^(Shared|Private)_Hugetlb:/ { tlb += $2 * 1024 }
	END { out() }' "/proc/$1/smaps"
}
by_maps() { # FILE of maps --json
	jq -r '.vmas[] | "\(.start) \(.size) \(.resident) \(.swapped) \(.huge) \(.untouched)"' "$1" |
		while read -r start size rest; do
			printf '%08x %s %s\n' "$start" "$size" "$rest"
		done
}
# field WHAT N: of what the victim calls so
field() { grep "^$(awk -v w="$1" '$3 == w { print substr($1, 3) }' pages.truth) " maps | cut -d' ' -f "$2"; }

vmaheap record --alloc=none -o pages -- pages "$tmp/file" <go >pages.truth 2>pages.err &
exec 3>go
until_true 60 grep -q ready pages.truth || bail "the victim does not run: $(cat pages.err pages.truth)"
unlike "$(cat pages.truth)" '^none' "each kind of memory is there"
pid=$(pgrep -o -x pages)
kill -STOP "$pid"
until_true 10 grep -q '^State:.T' "/proc/$pid/status" || bail "it does not stop"
vmaheap maps --json -p "$pid" >maps.json
by_maps maps.json >maps
by_smaps "$pid" >smaps
is "$(cut -d' ' -f 1-5 maps)" "$(cat smaps)" "each VMA: size, resident, swapped, huge as smaps has them"
is "$(awk '{ print $2 - $3 - $4 }' smaps)" "$(cut -d' ' -f 6 maps)" "the rest of each is untouched"
diag "$(wc -l <smaps) VMAs"

# The victim knows what it did; that smaps and we are wrong together would show here.
is "$(field touched 3) $(field touched 6)" "65536 0" "touched: all of it"
is "$(field partly 3) $(field partly 6)" "24576 40960" "partly: six pages of sixteen"
is "$(field untouched 3) $(field untouched 6)" "0 65536" "untouched: nothing"
is "$(field read 3) $(field read-huge 3)" "0 0" "only read: frames of zeroes are no pages, huge ones neither"
is "$(field returned 3)" 98304 "given back: what is left"
# A kernel with PREEMPT_RT has no transparent huge pages: of each the one page that was touched.
huge="4194304 4194304" cut=2097152 is_huge=true
[ -e /sys/kernel/mm/transparent_hugepage ] || huge="8192 0" cut=0 is_huge=false
is "$(field huge 3) $(field huge 5)" "$huge" "two huge pages of three"
is "$(field huge-cut 5)" $cut "a huge page that a VMA's end cuts is none"
is "$(field not-huge 3) $(field not-huge 5)" "4194304 0" "none where they are not wanted"
is "$(field hugetlb 3) $(field hugetlb 5)" "2097152 2097152" "hugetlb: one of two"
ok "what was paged out is swapped" test "$(field swapped 4)" -gt 0
is $(($(field swapped 3) + $(field swapped 4))) 262144 "and nothing is untouched there"
is "$(jq -c '.totals | [.swapped, .huge, .untouched]' maps.json)" \
	"$(awk '{ s += $4; h += $5; u += $2 - $3 - $4 } END { print "[" s "," h "," u "]" }' smaps)" "the totals"
like "$(vmaheap maps -p "$pid")" 'resident +huge +swapped' "the table has columns for what there is"

# `why ADDR` of single pages, against pagemap: what is swapped, and where; what is huge.
entry() { dd if="/proc/$pid/pagemap" bs=8 skip=$(($1 / 4096)) count=1 status=none | od -An -t u8 | tr -d ' '; } # bits 62 and 63 make it large
page() { vmaheap why --json "$(printf %x "$1")" -p "$pid" | jq -c ".page | $2"; }
# To ask may bring a page back, the one at the beginning of its VMA: for another look another one.
swapped() {
	at=$((16#$(field swapped 1) + 4096))
	for ((end = at + 258048; at < end; at += 4096)); do
		e=$(entry $at)
		((e >> 62 & 1)) && break
	done
}
swapped
is "$(page $at '[.state, .frame, .swap.type, .swap.offset]')" "[\"swapped\",null,$((e & 31)),$(((e & (1 << 55) - 1) >> 5))]" "why ADDR: a page that is swapped, and where"
swapped
like "$(vmaheap why "$(printf %x $at)" -p "$pid")" "^  page .*swapped out, .*slot $(((e & (1 << 55) - 1) >> 5)) of swap $((e & 31))" "and in words"
is "$(page $((16#$(field huge 1))) '[.state, .huge, (.flags | index("THP") != null)]')" "[\"present\",$is_huge,$is_huge]" "a page of a huge one"
is "$(page $((16#$(field not-huge 1))) '[.state, .huge, (.flags | index("THP") != null)]')" '["present",false,false]' "and one of none"
kill -CONT "$pid"
exec 3>&-
wait

# --- what the fuzzer leaves of an address space
vmaheap record --alloc=none -f -o fuzzed -- "$OLDPWD/build/tests/live/mmfuzz" --alone --short --seed 3 --ops 2000 --workers 1 --threads 1 \
	--round 400 --pause "$tmp/pause" >fuzzed.out 2>&1 &
for n in 1 2 3 4 5; do
	until_true 60 test -e "$tmp/pause.$n" || bail "the fuzzer does not come to checkpoint $n: $(cat fuzzed.out)"
	pid=$(cat "$tmp/pause.$n")
	vmaheap maps --json -p "$pid" >maps.json
	by_maps maps.json | cut -d' ' -f 1-5 >maps
	by_smaps "$pid" >smaps
	is "$(cat maps)" "$(cat smaps)" "checkpoint $n of the fuzzer, $(wc -l <smaps) VMAs"
	rm "$tmp/pause.$n"
done
wait
done_testing
