#!/bin/bash
# Allocator calls by uprobes: the same truth as by the shim, on a new and on a running process.
set -u
. "$(dirname "$0")/lib.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
load
cd "$tmp" || bail "no $tmp"

vmaheap record --alloc=uprobe --verify=2 -o six -- six >six.truth 2>six.err
is $? 0 "record --alloc=uprobe: exit status, and no mismatch"
like "$(cat six.err)" 'lost: 0,' "nothing lost"
# What the kernel did belongs to the call: brk for the first block, munmap for the mapped one.
is "$(vmaheap script --json six | jq -rn '
	reduce inputs as $e ({ out: [], acts: [] };
		if $e.kind == "range" and $e.cause.kind == "syscall" then .acts += [$e.cause.syscall.name]
		elif $e.kind != "call" then .
		elif $e.phase == "alloc" then
			.out += ["malloc \($e.size) \($e.addr) \(if $e.vma_events > 0 then .acts[-1] else "-" end)"]
		elif $e.phase == "free" then .out += ["free \($e.addr) -"] | .acts = []
		elif $e.vma_events > 0 then .out[-1] = (.out[-1] | sub("-$"; "")) + .acts[-1]
		else . end)
	| .out[]')" "$(cat six.truth)" "six blocks: as the victim tells them"
is "$(babeltrace2 six | grep -Evc '\) (build_id|stack): ')" "$(vmaheap script six | wc -l)" "babeltrace2 and script count the same events"

# --- a running process
churn 2 60 >churn.out &
until_true 30 grep -q running churn.out || bail "the victim does not run"
pid=$!
vmaheap attach --alloc=uprobe -o attached -p $pid 2>attach.err &
attach=$!
until_true 30 sh -c 'vmaheap report --json -p '$pid' | jq -en "input | .spaces[0].calls.calls > 5000"' || fail "no calls come"
exits 0 "verify of a process that others probe" vmaheap verify -p $pid
like "$(cat "$tmp/said")" ' 0 mismatches' "and it is exact"
kill -INT $attach
wait $attach
is $? 0 "attach ends on ^C"
like "$(cat attach.err)" 'lost: 0,' "nothing lost"
ok "the process lives" kill -0 $pid
is "$(bpftool -j prog show | jq '[.[] | select(.type == "kprobe")] | length')" 0 "no probe is left"
like "$(vmaheap report attached)" '^Found as the watch began: [1-9][0-9]* chunks, ' "chunks from before the attach are told of"
kill $pid
wait $pid 2>/dev/null
exits 125 "a process without malloc" vmaheap attach -o none -p 1
like "$(cat "$tmp/said")" 'allocator opaque' "it says so"
done_testing
