#!/bin/bash
# `why threshold`: each free that raised the mmap threshold is named as the victim has seen it, and
# the recorded calls, made once more, ask the kernel for what they did ask it for; and under each
# setting for what the victim asks it for when it is run with that setting. On this kernel with the
# module; the same answers without it.
set -u
. "$(dirname "$0")/lib.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
load
cd "$tmp" || bail "no $tmp"

# Of a trace: system calls inside of allocator calls, as the module told them.
counts() {
	vmaheap report --json "$1" |
		jq -c '[.spaces[0].syscalls as $s | ("brk", "mmap", "munmap", "mremap", "mprotect") as $n |
			([$s[] | select(.name == $n) | .in_calls] | add // 0)]'
}
# Of an answer: what the rehearsal counted with a setting ("": as it was).
played() {
	jq -c --arg s "$2" '.rehearsal.plays[] | select((.setting // "") == $s) | [.brk, .mmap, .munmap, .mremap, .mprotect]' "$1"
}

vmaheap record -o one -- threshold >one.truth 2>one.err || fail "record ended with $?: $(cat one.err)"
like "$(cat one.err)" 'lost: 0,' "nothing lost"
vmaheap why threshold --json one >one.json || fail "why threshold ended with $?"
is "$(jq -r '.history[] | "\(.addr) \(.from) \(.to)"' one.json)" "$(sed -n 's/^raise //p' one.truth)" \
	"the frees that raised it: address, from, to"
is "$(jq -r '.history[].caller.symbol' one.json | sed 's/+0x.*//' | sort -u)" freed "who called them"
is "$(jq .last one.json)" "$(sed -n 's/^threshold //p' one.truth)" "what it is in the end"
is "$(jq -c '[.contradictions, .unknown, .not_rehearsed, .settings]' one.json)" '[0,null,null,""]' "no doubts"
# What lay below the new threshold and above the old one, and got no mapping, by the victim's own words.
is "$(jq '[.history[].later.calls] | add' one.json)" \
	"$(awk '/^raise/ { lo[n] = $3; hi[n++] = $4 }
		/^malloc/ && $4 != "mmap" { s = int(($2 + 23) / 16) * 16
			for (i = 0; i < n; i++) c += s >= lo[i] && s < hi[i] }
		END { print c + 0 }' one.truth)" "what went to the heap because of that"

is "$(jq -c .rehearsal.elsewhere one.json)" 0 "played once more, every chunk lies where it did"
is "$(played one.json "")" "$(counts one)" "and the kernel is asked for the same"
is "$(jq -c '[.recorded | .brk, .mmap, .munmap, .mremap, .mprotect]' one.json)" "$(counts one)" "as recorded"
for setting in glibc.malloc.mmap_threshold=131072 glibc.malloc.trim_threshold=1073741824 glibc.malloc.top_pad=1048576; do
	GLIBC_TUNABLES=$setting vmaheap record -o "set-$setting" -- threshold >/dev/null 2>&1 ||
		fail "$setting: record ended with $?"
	is "$(counts "set-$setting")" "$(played one.json "$setting")" "predicted and measured: $setting"
done
setting=glibc.malloc.mmap_threshold=300000:glibc.malloc.top_pad=4096
vmaheap why threshold --json --try=$setting one >try.json
GLIBC_TUNABLES=$setting vmaheap record -o tried -- threshold >/dev/null 2>&1
is "$(played try.json $setting)" "$(counts tried)" "and one that was asked for"

# A trace that knows of the setting: nothing raises it, and it is rehearsed with it.
vmaheap why threshold --json tried >tried.json
is "$(jq -c '[.settings, .history, .last, .contradictions, .rehearsal.exact]' tried.json)" \
	"[\"GLIBC_TUNABLES=$setting\",[],300000,0,true]" "a threshold that is set"

# A real program; and without the module, where the rehearsal tells what had a mapping.
vmaheap record -o real -- perl -e '$s = "x" x 300000; undef $s; %h = map { ($_, "y" x ($_ % 99)) } 1..999;' >/dev/null 2>&1
is "$(vmaheap why threshold --json real | jq -c '[.rehearsal.exact, .rehearsal.elsewhere, (.history | length > 0)]')" \
	'[true,0,true]' "perl: the same system calls, the same places"
vmaheap record --kernel=none -o none -- threshold >none.truth 2>&1
vmaheap why threshold --json none >none.json
is "$(jq -r '.history[] | "\(.addr) \(.from) \(.to)"' none.json)" "$(sed -n 's/^raise //p' none.truth)" "without the module: the same frees"
is "$(jq -c '[.recorded, .rehearsal.exact]' none.json)" '[null,true]' "what was not recorded is null"

# What is not the malloc of glibc is said to be none.
vmaheap record -o je -- alloc_ops-jemalloc >/dev/null 2>&1
is "$(vmaheap why threshold --json je | jq -c '[.history, .unknown, .rehearsal]')" \
	'[null,"its allocator is not the malloc of glibc",null]' "jemalloc"
done_testing
