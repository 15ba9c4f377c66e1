#!/bin/bash
# A process that the kernel kills because memory has run out: what the flight recorder has is
# there, is sound, and ends with the kill. Needs a cgroup of its own; outside of the guest no module.
set -u
. "$(dirname "$0")/lib.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
cd "$tmp" || bail "no $tmp"
kernel=(--kernel=none)
if in_guest; then
	load
	kernel=()
	dmesg -n 1 # an OOM kill tells a long story, and the console is slow
fi
if [ -d /sys/fs/cgroup/memory ]; then
	cgroup=/sys/fs/cgroup/memory/vmaheap-oom limit=memory.limit_in_bytes events=memory.oom_control
else
	cgroup=/sys/fs/cgroup/vmaheap-oom limit=memory.max events=memory.events
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control || bail "no memory in cgroups"
fi
mkdir -p $cgroup || bail "no cgroup"
kills() { sed -n 's/^oom_kill //p' $cgroup/$events; }

# hog NAME MIB OPTIONS...: its trace is in NAME, its truth in begun, returned, freed.
hog() {
	local name=$1 mib=$2 before
	shift 2
	before=$(kills)
	echo "${mib}M" >$cgroup/$limit || bail "no limit"
	[ ! -e $cgroup/memory.swap.max ] || echo 0 >$cgroup/memory.swap.max
	vmaheap record "${kernel[@]}" "$@" -o "$name" -- hog "$name.truth" $cgroup/cgroup.procs >"$name.out" 2>"$name.err"
	is $? 137 "$name: the status is that of a SIGKILL"
	is $(($(kills) - before)) 1 "$name: it was the OOM killer's"
	like "$(cat "$name.err")" 'lost: 0(,|$)' "$name: nothing was lost"
	read -r begun returned freed < <(od -An -v -t u8 -w24 -N 24 "$name.truth")
}

# check NAME: of its last moment.
check() {
	local space live
	ok "$1: the trace is read" vmaheap maps "$1"
	babeltrace2 "$1" >bt 2>bt.err
	is "$? $(wc -c <bt.err)" "0 0" "$1: by babeltrace2, too"
	vmaheap report --json "$1" >"$1.json"
	space=$(jq -c '[.spaces[] | select(.comm == "hog")] | last' "$1.json")
	is "$(jq '.died != null' <<<"$space")" true "$1: its end is in it"
	# Killed between a call and its record, or between a record and what the victim notes of it.
	live=$(jq .live.chunks <<<"$space")
	is "$((live >= returned - freed && live <= begun - freed + 1))" 1 \
		"$1: alive as it was killed: $live of $returned to $begun allocated, $freed freed"
	is "$((begun > 4000))" 1 "$1: these were many"
	is "$(jq -c '[.doubts | .calls_lost, .unknown_frees, .double_allocs, .late // 0] | add' <<<"$space")" 0 "$1: no doubts"
}

hog oom 48 --flight-recorder=64M
check oom
is "$(jq .begins oom.json)" null "all of it was kept"

hog part 96 --flight-recorder=256K
check part
is "$(jq '.begins != null' part.json)" true "what was before was not kept"
rmdir $cgroup
done_testing
