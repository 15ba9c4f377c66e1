#!/bin/bash
# `why held`, to the page: heaps by chance, in the main arena and in those of threads. What it names
# is freed, malloc_trim(0) is called, and as much must go back as it said, give or take a page. Half
# of the heaps have no thread caches, in the others that of the main thread is full, so that what is
# freed goes past it, as the prediction has it. HEAPS=1000 tests/live/71-held.t is the long form; no
# module is needed, nor a guest. On its own glibc, and on those of the suites that are in the cache.
set -u
. "$(dirname "$0")/lib.sh"

repo=$(cd "$(dirname "$0")/../.." && pwd)
cache=${VMAHEAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vmaheap}
heaps=$repo/build/tests/victims/heaps

ask() { # LINE; the answer is not looked at
	echo "$1" >&8
	while read -r -t 60 answer <&9 && [ "$answer" != "done" ]; do :; done
}
# Anonymous memory, the heaps and stacks of it: the rest stands still.
anonymous() { awk '/^Anonymous:/ { print $2 * 1024 }' "/proc/$pid/smaps_rollup"; }

# one SEED THREADS COMMAND...: "said went_back" in bytes, now and with the pins freed
one() {
	local seed=$1 threads=$2 json now before after full=full
	shift 2
	rm -f to from
	mkfifo to from
	local tunables=glibc.malloc.tcache_count=7
	[ $((seed % 2)) = 0 ] || { full= tunables=glibc.malloc.tcache_count=0; }
	env GLIBC_TUNABLES=$tunables \
		"$@" "$seed" "$threads" $full <to >from &
	pid=$!
	exec 8>to 9<from
	read -r -t 60 answer <&9 && [ "$answer" = ready ] || bail "$*: not ready"
	json=$(vmaheap why held --json -p "$pid") || bail "why held: $json"
	before=$(anonymous)
	if [ $((seed % 5)) = 0 ]; then # the figure for now
		now=$(jq .trim_now <<<"$json")
	else
		now=$(jq .back <<<"$json")
		ask "free $(jq -r '.named | join(" ")' <<<"$json")"
	fi
	ask trim
	after=$(anonymous)
	echo exit >&8
	wait "$pid"
	exec 8>&- 9<&-
	echo "$now $((before - after))"
}

# many NAME COMMAND...
many() {
	local name=$1 seed bad=0 said back n=${HEAPS:-4} sum=0
	shift
	for ((seed = 1; seed <= n; seed++)); do
		read -r said back < <(one "$seed" $((seed * 7 % 6)) "$@")
		sum=$((sum + back))
		if [ "$((said - back))" -gt 4096 ] || [ $((back - said)) -gt 4096 ]; then
			bad=$((bad + 1))
			diag "$name, seed $seed: said $said, $back went back"
		fi
	done
	if [ $sum -gt $((n * 4096)) ] && [ $((bad * 100)) -le "$n" ]; then
		pass "$name: $n heaps, $bad of them off by more than a page, $((sum / n / 1024)) KiB each went back"
	else
		fail "$name: $n heaps, $bad of them off by more than a page, $sum bytes went back"
	fi
}

# What the kernel is set to, and what the process wants of it: sleep wants nothing, heaps has it off.
khugepaged() { vmaheap why held --json -p "$1" | jq .khugepaged; }
fills=false
thp=/sys/kernel/mm/transparent_hugepage
if grep -qF '[always]' $thp/enabled && [ "$(cat $thp/khugepaged/max_ptes_none)" -gt 0 ]; then
	fills=true
fi 2>/dev/null

cd "$tmp" || bail "no $tmp"
sleep 1000 >/dev/null &
is "$(khugepaged $!)" $fills "khugepaged may fill what goes back: $fills"
kill $!
mkfifo hold
"$heaps" 1 0 <hold >still &
exec 7>hold
until_true 60 grep -q ready still || bail "heaps: not ready"
is "$(khugepaged $!)" false "but not where it is forbidden"
vmaheap why held -p $! >text
is "$(grep -c khugepaged text)" 0 "of which nothing is said then"
exec 7>&-
wait $!
many "glibc $(getconf GNU_LIBC_VERSION | sed 's/glibc //')" "$heaps"
for root in "$cache"/suites/*/; do
	root=${root%/}
	[ -x "$root/usr/bin/gcc" ] || continue
	libs=$root/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu
	loader=$(find "$root"/lib/x86_64-linux-gnu/ -name 'ld-[l2]*' | sort | head -n 1)
	mkdir -p "$root/tmp"
	cp "$repo/tests/victims/heaps.c" "$root/tmp/held.c"
	chroot "$root" gcc -std=gnu11 -O1 -fno-builtin -D_GNU_SOURCE= -pthread -o /tmp/held /tmp/held.c ||
		fail "$root: cannot compile"
	many "$(basename "$root")" "$loader" --library-path "$libs" "$root/tmp/held"
done
done_testing
