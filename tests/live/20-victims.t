#!/bin/bash
# Victims that print what they did to their memory, against what vmaheap says of them.
set -u
. "$(dirname "$0")/lib.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
load
cd "$tmp" || bail "no $tmp"

# record NAME COMMAND...: the truth is in NAME.truth, the trace in NAME
record() {
	local name=$1
	shift
	vmaheap record --verify=20 -f -o "$name" -- "$@" >"$name.truth" 2>"$name.err" ||
		fail "$name: record ended with $?: $(cat "$name.err")"
	like "$(cat "$name.err")" '^verify: [1-9][0-9]* checks, [1-9][0-9]* VMAs compared, 0 mismatches' "$name: the model equals /proc/PID/maps"
	like "$(cat "$name.err")" 'lost: 0,' "$name: nothing lost"
}
truth() { sed -n "s/^$2 //p" "$1.truth"; }

# The allocator calls as the victims tell them: "malloc SIZE ADDR ACT", "free ADDR ACT".
calls() {
	vmaheap script --json "$1" | jq -rn '
	reduce inputs as $e ({ out: [], acts: [] };
		if $e.kind == "range" then .acts += [$e.cause.syscall.name]
		elif $e.kind != "call" then .
		elif $e.phase == "alloc" then
			.out += ["\($e.op) \($e.size) \($e.addr) \(if $e.vma_events > 0 then .acts[-1] else "-" end)"]
		elif $e.phase == "free" then .out += ["free \($e.addr) -"] | .acts = []
		elif $e.vma_events > 0 then .out[-1] = (.out[-1] | sub("-$"; "")) + .acts[-1]
		else . end)
	| .out[]'
}

# --- brk or mmap, reuse, and when the break moves back
record six six
is "$(calls six)" "$(cat six.truth)" "six blocks: brk, mapped, reused, given back"

record small small
is "$(calls small)" "$(grep malloc small.truth)" "malloc(400) by brk, malloc(1 MiB) by mmap"
read -r addr size name < <(truth small live | head -n 1)
why=$(vmaheap why --json "$addr" small)
is "$(jq -r '"\(.chunk.size) \(.vma.name) \(.vma.made.syscall.name) \(.vma.made.call.op) \(.vma.made.call.caller.symbol)"' \
	<<<"$why" | sed 's/+0x[0-9a-f]*//')" "$size $name brk malloc told_malloc (small)" \
	"why: the small one lies on the heap, which a brk inside this malloc made"
like "$(vmaheap why "$addr" small)" "malloc\(400\).*told_malloc" "and in words"
read -r addr size name < <(truth small live | tail -n 1)
is "$(vmaheap why --json "$addr" small | jq -r '"\(.chunk.size) \(.vma.made.syscall.name) \(.vma.made.call.op)"')" \
	"$size mmap malloc" "why: the large one lies in a mapping that this malloc made"
# The mapping may have merged with a neighbour's, so count what is alive and resident.
is "$(vmaheap maps --json small | jq --arg a "$addr" '.vmas[] | select(.start <= $a and .end > $a and (.start | length) == ($a | length)) | .live_resident')" \
	12272 "maps: three pages of it are resident, less the 16 bytes before the chunk"
is "$(vmaheap maps --json small | jq '.totals.unknown')" 0 "maps: nothing resident is unknown"

# --- the arena of a second thread
record arena arena
read -r lo len < <(truth arena reserve)
parts=$(vmaheap maps --json arena | jq -c "[.vmas[] | select(.start >= \"$lo\" and .start < \"$(printf %#x $((lo + len)))\")]")
is "$(jq '[.[].size] | add' <<<"$parts")" $((len)) "the parts of the reserve make up 64 MiB"
is "$(jq -c '[.[].kind]' <<<"$parts")" '["arena","reserve"]' "what is committed, and the rest"
is "$(jq -c '.[0] | .chunks >= 64 and .live >= 1280000' <<<"$parts")" true "the chunks lie in it"
is "$(jq -r '.[0].changed.syscall.name, .[0].changed.call.op' <<<"$parts" | xargs)" "mprotect malloc" \
	"mprotect inside malloc committed it"
read -r addr size name < <(truth arena live | tail -n 1)
is "$(vmaheap why --json "$addr" arena | jq -r '"\(.chunk.size) \(.vma.kind)"')" "$size arena" "why: the last block"

# --- VMAs split, merge, move, grow
record maps maps
read -r lo hi n < <(truth maps split)
script=$(vmaheap script maps)
p=$(printf '%#x' $((lo + 0x3000)))
is "$n" 3 "the victim's middle third is split off"
like "$script" "mprotect\\($p, 12288, PROT_READ\\): rw-p -> r--p 12K .*split" "mprotect splits"
like "$script" "mprotect\\($p, 12288, PROT_READ\\|PROT_WRITE\\): r--p -> rw-p 12K .*merged" "mprotect back merges"
read -r lo hi n < <(truth maps hole)
like "$script" "munmap\\($(printf '%#x' $((lo + 0x4000))), 4096\\): .*4K \\[$(printf '%x-%x' $((lo + 0x4000)) $((lo + 0x5000)))" \
	"munmap punches a hole"
read -r from to < <(truth maps moved-from)
like "$script" "mremap\\($from, 16384, 81920, MREMAP_MAYMOVE\\|MREMAP_FIXED, $to\\): .*moved" "mremap moves"
like "$script" "stack growth: \\+64K" "the stack grows without a system call"
is "$(vmaheap maps --json maps | jq -r '.vmas[] | select(.name == "[stack]") | .size >= 20 * 65536')" true "by what was used"

# --- a file mapping, page by page: resident grows, nothing else changes
head -c 81920 /dev/zero >file
mkfifo steps
vmaheap record -o touch -- toucher file 20 <steps >touch.truth 2>touch.err &
recorder=$!
exec 3>steps
until_true 30 grep -q mapped touch.truth || bail "the victim does not run"
pid=$(pgrep -x toucher)
read -r lo len < <(truth touch mapped)
# Of what the victim maps itself nothing may change between two looks.
look() {
	vmaheap maps --json -p "$pid" | jq -c "[.vmas[] | select(.kind != \"vmaheap\") | [.start, .end, .perms, .offset]]" >vmas
	vmaheap maps --json -p "$pid" | jq ".vmas[] | select(.start == \"$lo\") | .resident"
}
is "$(look)" 0 "a file is mapped and not touched: nothing of it is resident"
cp vmas vmas.first
for i in 1 2 3; do
	echo -n x >&3
	until_true 10 grep -q "touched $i" touch.truth || bail "the victim hangs"
	is "$(look)" $((i * 4096)) "$i pages touched: $i pages resident"
	is "$(cat vmas)" "$(cat vmas.first)" "and nothing else changed"
done
exec 3>&-
wait $recorder
is $? 0 "touch: exit status"

# --- a shared mapping, seen from two processes
for who in a b; do
	mkfifo steps-$who
	vmaheap record -o shared-$who -- toucher -s file 20 <steps-$who >shared-$who.truth 2>shared-$who.err &
done
exec 4>steps-a 5>steps-b
until_true 30 sh -c 'grep -q mapped shared-a.truth && grep -q mapped shared-b.truth' || bail "the victims do not run"
echo -n xxx >&4
echo -n x >&5
until_true 10 sh -c 'grep -q "touched 3" shared-a.truth && grep -q "touched 1" shared-b.truth' || bail "they hang"
shared=
for pid in $(pgrep -x toucher); do
	shared+=$(vmaheap maps --json -p "$pid" |
		jq -r '.vmas[] | select(.name | endswith("/file")) | "\(.perms) \(.ino) \(.kind) \(.resident); "')
done
ino=$(stat -c %i file)
is "$(tr ';' '\n' <<<"$shared" | sed 's/^ *//' | sort | xargs)" "rw-s $ino shared 12288 rw-s $ino shared 4096" \
	"one file in two processes: each has touched its own share"
exec 4>&- 5>&-
wait

# --- fork, vfork and exec, followed
record family family
for who in inherited child leaf parent; do
	read -r pid addr size < <(truth family $who)
	is "$(vmaheap why --json "$addr" -p "$pid" family | jq .chunk.size)" "$size" "$who: its chunk"
done
read -r pid addr size < <(truth family child)
read -r parent _ < <(truth family parent)
read -r _ after size < <(truth family after)
is "$(vmaheap why --json "$after" -p "$parent" family | jq .chunk.size)" "$size" "what the parent allocates after the fork"
is "$(vmaheap why --json "$after" -p "$pid" family | jq .chunk)" null "is not the child's"
is "$(vmaheap why --json "$addr" -p "$parent" family | jq .chunk.size)" "$(truth family parent | cut -d' ' -f3)" \
	"the same address is another chunk in the parent"
like "$(vmaheap script family)" "fork: process $pid" "the fork is told"

# --- without -f the children are not there
vmaheap record -o alone -- family >alone.truth 2>alone.err
read -r pid addr size < <(truth alone child)
exits 125 "without -f: the child is not watched" vmaheap maps -p "$pid" alone
like "$(cat alone.err)" 'lost: 0,' "and nothing is lost"
done_testing
