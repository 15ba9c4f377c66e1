#!/bin/bash
# The heap by malloc's own book-keeping against malloc_info(3) and mallinfo2(3) of the process itself, on its own
# glibc and on those of the suites that are in the cache (scripts/kernels). It needs no module, and
# no guest: HEAPS=1000 tests/live/70-heap.t is its long form, so many heaps for each glibc.
set -u
. "$(dirname "$0")/lib.sh"

repo=$(cd "$(dirname "$0")/../.." && pwd)
cache=${VMAHEAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vmaheap}
heaps=$repo/build/tests/victims/heaps
# malloc_info adds the sizes of what is in bins with the flag that each of them bears.
form='(.arenas | to_entries[] | .key as $n | .value |
	"arena \($n) fast \(.fastbin.chunks) \(.fastbin.bytes) rest \(.rest.chunks) \(.rest.bytes + .rest.chunks - 1) system \(.system_mem)"),
	"mapped \(.mmapped.chunks) \(.mmapped.bytes)",
	"mallinfo " + (([.arenas[].system_mem] | add) as $system |
		([.arenas[] | .rest.bytes + .fastbin.bytes] | add) as $free |
		[$system, ([.arenas[].rest.chunks] | add), ([.arenas[].fastbin.chunks] | add), .mmapped.chunks, .mmapped.bytes,
		([.arenas[].fastbin.bytes] | add), $system - $free, $free, .arenas[0].top_size] | map(tostring) | join(" "))'

# start COMMAND...: the victim, up to its "ready"
start() {
	rm -f to from
	mkfifo to from
	"$@" <to >from &
	pid=$!
	exec 8>to 9<from
	read -r -t 60 answer <&9 && [ "$answer" = ready ] || bail "$*: not ready"
}
# ask LINE: what the victim answers
ask() {
	echo "$1" >&8
	while read -r -t 60 answer <&9 && [ "$answer" != "done" ]; do
		echo "$answer"
	done
}
stop() {
	echo exit >&8
	wait "$pid"
	exec 8>&- 9<&-
}

# same GLIBC SEED THREADS OPTION... -- COMMAND...: arenas, bytes used and free, mappings are equal
same() {
	local name="$1, seed $2, $3 threads" seed=$2 threads=$3 options=() wanted got
	shift 3
	while [ "$1" != -- ]; do options+=("$1"); shift; done
	shift
	start "$@" "$seed" "$threads"
	vmaheap heap "${options[@]}" --json -p "$pid" >heap.json 2>err || diag "$(cat err)"
	wanted=$(ask info)
	got=$(jq -r "$form" heap.json)
	if jq -e '.layout == "2.43"' heap.json >/dev/null; then
		got=$(drift "$got")
		wanted=$(drift "$wanted")
	fi
	is "$got" "$wanted" "$name ${options[*]}: as malloc_info(3) and mallinfo2(3) have it"
	is "$(jq -c '[.incomplete, ([.arenas[] | .unlisted + .lost] | add), ([.threads[].tid] | sort), ([.threads[].arena | select(. == null)] | length)]' heap.json)" \
		"[null,0,$(ls "/proc/$pid/task" | sort -n | jq -sc .),0]" "$name: nothing is odd, every thread has its arena"
	is "$(jq -c '[.arenas[] | .system_mem - .rest.bytes - .used.bytes - .tcache.bytes - .fastbin.bytes - .fence.bytes - ."malloc'"'"'s own".bytes |
		. > 2300 * 3 or . < 0] | any' heap.json)" false "$name: chunks, and malloc's structs, make up what it got from the system"
	stop
}
# Whole pages: its sum drifts by 16 bytes with each mapping that is resized (2.43, mremap_chunk).
drift() { awk '$1 == "mapped" { $3 = int($3 / 4096) } $1 == "mallinfo" { $6 = int($6 / 4096) } { print }' <<<"$1"; }

cd "$tmp" || bail "no $tmp"
own=$(getconf GNU_LIBC_VERSION | sed 's/glibc //')
for ((seed = 1; seed <= ${HEAPS:-3}; seed++)); do
	case $((seed % 3)) in
	0) options= ;; 1) options=--stop ;; *) options=--no-symbols ;;
	esac
	# shellcheck disable=SC2086
	same "$own" $seed $((seed * 3 % 8)) $options -- "$heaps"
done

# Each suite's glibc, with a victim that its own compiler makes, if it has one.
for root in "$cache"/suites/*/; do
	root=${root%/}
	libs=$root/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu
	loader=$(find "$root"/lib/x86_64-linux-gnu/ "$root"/usr/lib/x86_64-linux-gnu/ -name 'ld-[l2]*' 2>/dev/null | sort | head -n 1)
	[ -n "$loader" ] || continue
	suite=$(basename "$root")
	victim=$heaps
	if [ -x "$root/usr/bin/gcc" ]; then
		victim=$root/tmp/heaps
		mkdir -p "$root/tmp"
		cp "$repo/tests/victims/heaps.c" "$root/tmp/heaps.c"
		chroot "$root" gcc -std=gnu11 -O1 -fno-builtin -D_GNU_SOURCE= -pthread -o /tmp/heaps /tmp/heaps.c ||
			fail "$suite: cannot compile"
	fi
	for ((seed = 1; seed <= ${HEAPS:-1}; seed++)); do
		same "$suite" $seed $((seed * 4 % 9)) --no-symbols -- "$loader" --library-path "$libs" "$victim"
	done
done

rm -f to && mkfifo to || bail "mkfifo"
# Real programs, as they run: nothing breaks, and what is there adds up.
PYTHONMALLOC=malloc python3 -c '
import sys, threading
x = {i: str(i) * (i % 50) for i in range(20000)}
t = threading.Thread(target=lambda: (list(range(50000)), sys.stdin.read()))
t.start(); print("ready", flush=True); t.join()' <to >py.out &
python=$!
exec 8>to
until_true 20 grep -q ready py.out || bail "python3 does not start"
is "$(vmaheap heap --json -p $python | jq -c '[.incomplete, (.arenas | length), ([.arenas[] | .unlisted + .lost] | add), .mmapped.chunks == .mp.n_mmaps]')" \
	'[null,2,0,true]' "python3, with a thread"
like "$(vmaheap heap --bins -p $python)" '^ +0  (small|large|tcache|unsorted) ' "in words, list by list"
chunks=$(vmaheap heap --chunks -p $python)
is "$(grep -cE '  (used|mmapped)$' <<<"$chunks")" "$(vmaheap heap --json -p $python | jq '[.arenas[].used.chunks] + [.mmapped.chunks] | add')" "--chunks: each of them"
like "$chunks" '^0x[0-9a-f]+ +[0-9]+  --P  (small|large) -> 0x' "a free chunk, and the next on its list"
kill $python

# A static and stripped program.
busybox sleep 100 &
until_true 10 grep -q heap /proc/$!/maps
is "$(vmaheap heap --json -p $! | jq -c '[.incomplete, .mp.mmap_threshold, ([.arenas[] | .unlisted + .lost] | add)]')" '[null,32512,0]' \
	"a static, stripped program, and what it told mallopt"
kill $!

exits 125 "a process that is not there" vmaheap heap -p 4194000
like "$(cat "$tmp/said")" 'no such process' "and says so"
for what in rss 0; do
	exits 125 "why $what of a kernel thread" vmaheap why $what -p 2
	like "$(cat "$tmp/said")" '^vmaheap: process 2 has no memory' "and says so"
done
done_testing
