#!/bin/bash
# Full call stacks (record --stacks), from the shim to the names, here and elsewhere.
set -u
. "$(dirname "$0")/lib.sh"
victims=$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
load
cd "$tmp" || bail "no $tmp"

# "SIZE: ADDRESS ...": the stacks of a trace as the victim prints the true ones. Of what a signal
# interrupted, and of what is too deep, the two do not tell the same (tests/unit/stack_test.c).
told() {
	vmaheap script --json "$1" >"$1.json"
	jq -r 'select(.kind == "call" and .phase == "alloc" and .size >= 20000 and .size < 24000)
		| select(.stack.truncated == false)
		| select([.stack.frames[].symbol | test("on_signal")] | any | not)
		| "\(.size): \([.stack.frames[1:][].addr | .[2:]] | join(" "))"' "$1.json" | sort
}

vmaheap record --stacks -o all -- "$victims/stacks" 11 24 >truth 2>all.err
is $? 0 "exit status"
like "$(cat all.err)" 'lost: 0, coalesced' "nothing lost"
told all >got
cut -d: -f1 got | grep -Fwf - truth | sort >wanted
is "$([ "$(wc -l <got)" -gt 30 ] && echo many)" many "stacks in the trace"
is "$(cat got)" "$(cat wanted)" "all are those of libgcc's unwinder"
is "$(jq -r 'select(.kind == "call" and .phase == "alloc" and .stack == null) | .size' all.json)" "" \
	"no allocation is without a stack"

# --- what is made of them
like "$(vmaheap report --stacks all)" 'take\+0x[0-9a-f]+ \(stacks\)' "report: names"
is "$(vmaheap report --stacks=bytes --json all | jq '[.spaces[0].stacks[].asked] | add')" \
	"$(vmaheap report --json all | jq '[.spaces[0].functions[] | select(.asked) | .asked] | add')" "what all stacks asked for is what was asked for"
vmaheap report --folded=allocs all >folded
is "$(awk '{ n += $NF } END { print n }' folded)" \
	"$(vmaheap report --json all | jq '[.spaces[0].functions[] | select(.name != "free") | .calls - .failed] | add')" "folded: all allocations"
like "$(cat folded)" '^stacks;_start;.*;main;chains;.*;take [0-9]+$' "folded: from the outside in"
vmaheap script all >script
like "$(cat script)" '^        .* take\+0x' "script: stacks"
is "$(babeltrace2 all 2>&1 | grep -vcE ' (stack|build_id): ')" "$(grep -vc '^        ' script)" "babeltrace2 reads the trace"
exits 125 "report: an unknown order" vmaheap report --stacks=some all

vmaheap record --stacks -o small -- "$victims/small" >small.truth 2>small.err
read -r _ addr size _ < <(grep '^live' small.truth | head -n 1)
is "$(vmaheap why --json "$addr" small | jq -r '"\(.chunk.size) \(.chunk.stack.frames | map(.symbol | sub("\\+.*"; "")) | join(" "))"')" \
	"$size told_malloc main __libc_start_call_main __libc_start_main_impl _start" "why: the chunk's stack"
like "$(vmaheap why "$addr" small)" '^        .* main\+0x' "why: as text"

# --- one in so many bytes
vmaheap record --stacks=50000 -o sampled -- "$victims/stacks" 11 24 >sampled.truth 2>sampled.err
is $? 0 "sampled: exit status"
like "$(vmaheap report --stacks sampled)" '^Sampled: of one allocation in 50000 bytes' "sampled: report says so"

# --- asked while it runs
vmaheap record --stacks -o live -- "$victims/churn" 1 100 >churn.out 2>live.err &
until_true 30 grep -q running churn.out || bail "the victim does not run"
pid=$(pgrep -x churn)
like "$(vmaheap report --folded=bytes -p "$pid")" '^churn;.*;main;.* [0-9]+$' "live: folded"
kill -9 "$pid"
wait $!

# --- on another machine: the program is not there, then another one is, then it is known by its id
cp "$victims/stacks" prog
vmaheap record --stacks -o moved -- "$tmp/prog" 3 8 >moved.truth 2>moved.err
mv prog away
vmaheap report --stacks=allocs moved >said
unlike "$(cat said)" '0x[0-9a-f]+ \(prog\)' "no program: no names"
like "$(cat said)" ' prog\+0x' "but places in it"
cp "$victims/small" prog
unlike "$(vmaheap report --stacks=allocs moved)" '0x[0-9a-f]+ \(prog\)' "another program of that name: no names"
id=$(readelf -n away | sed -n 's/.*Build ID: //p')
debug=.build-id/${id:0:2}/${id:2}.debug
mkdir -p "root/${debug%/*}"
cp away "root/$debug"
vmaheap report --folded=allocs --symfs=root moved | grep -o ';main;chains;.*' >named
like "$(cat named)" ';take [0-9]+$' "names by build id"
objcopy --only-keep-debug away "root/$debug"
is "$(vmaheap report --folded=allocs --symfs=root moved | grep -o ';main;chains;.*')" "$(cat named)" "of a debug file alone"
# The same from a debuginfod server, as far as files can play one.
mkdir -p "served/buildid/$id" cache
cp "root/$debug" "served/buildid/$id/debuginfo"
like "$(DEBUGINFOD_URLS="file://$tmp/served" DEBUGINFOD_CACHE_PATH=$tmp/cache vmaheap report --folded=allocs moved)" \
	'^prog;.*;main;chains;.*;take [0-9]+$' "names from debuginfod"
done_testing
