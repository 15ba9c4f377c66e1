#!/bin/bash
# The nine questions that vmaheap is for, each about a real program and asked with one command. The
# answers are compared with the transcripts in tests/golden/questions, numbers and addresses aside;
# the numbers with what somebody else knows: the kernel's /proc, strace, or the program itself.
# The answers of a run are left in $OUT: to accept what has changed on purpose, copy them.
set -u
. "$(dirname "$0")/lib.sh"

golden=$(cd "$(dirname "$0")/.." && pwd)/golden/questions
programs
load
cd "$tmp" || bail "no $tmp"
# Huge pages come by chance, and go as they are cut.
huge=/sys/kernel/mm/transparent_hugepage/enabled
had=$(sed 's/.*\[\(.*\)\].*/\1/' $huge)
echo never >$huge

# What a transcript has in common with the next one: numbers are #, but for what a program asked for;
# blanks are one, lines that are then equal are one; which VMAs are the largest does not matter, nor
# which list the kernel has a page on, nor how this machine overcommits.
# Of a table the first ROWS: what comes below may be in another order.
plain() {
	perl -ne '$row = /^ *[0-9]/ ? $row + 1 : 0;
		next if $row > '"$1"';
		s/  +[0-9a-f]{8,16} \S.*$//; s/ +/ /g; s/^ //; s/(flags ).*(ANON).*/$1$2/; s/(overcommit: )[a-z ]+/$1/;
		s/(\b(?:[mc]|re)alloc\(\d+\))|0x[0-9a-f]+|\b(?=[0-9a-f]*\d)[0-9a-f]{8,16}\b|\d+(?:\.\d+)*/$1 \/\/ "#"/ge;
		print' | uniq
}
# asked NAME ROWS QUESTION COMMAND...: the answer is in $answer, and as the transcript has it
asked() {
	local name=$1 rows=$2 question=$3
	shift 3
	answer=$("$@" 2>&1) || fail "$name: $* ended with $?"
	printf '%s\n' "# $question" "\$ $*" "$answer" >"$name.txt"
	[ -z "${OUT-}" ] || cp "$name.txt" "$OUT/"
	is "$(plain "$rows" <"$name.txt")" "$(plain "$rows" <"$golden/$name.txt")" "$name: $question"
}
# of ERE: what the answer has in its parentheses
of() { sed -nE "s/^.*$1.*\$/\\1/p" <<<"$answer" | head -n 1; }
# program NAME COMMAND...: started, up to its "ready", with its output in NAME.out; say writes to it
program() {
	name=$1
	shift
	rm -f to
	mkfifo to
	"$@" <to >"$name.out" 2>"$name.err" &
	job=$!
	exec 8>to
}
ready() { until_true 60 grep -q "$1" "$name.out" || bail "$name: $(cat "$name.err")"; }
say() { printf '%s\n' "$@" >&8; }
ended() {
	exec 8>&-
	wait $job
}
recorded() { vmaheap record -o "$1.trace" "${@:2}"; }
# near A B MOST NAME: A and B, KiB, are no further apart than that
near() {
	if awk -v a="$1" -v b="$2" -v most="$3" 'BEGIN { exit !(a - b <= most && b - a <= most) }'; then
		pass "$4"
	else
		fail "$4"
		diag "$1 and $2"
	fi
}
smaps() { awk -v key="$2:" '$1 == key { n += $2 } END { print n + 0 }' "/proc/$1/smaps"; }
# trimmed LINE: the program is told to trim; $went is how much went back, KiB
trimmed() {
	local before
	before=$(smaps "$pid" Anonymous)
	say "$1"
	ready trimmed
	went=$((before - $(smaps "$pid" Anonymous)))
}

# --- 1. python3 has let go of 40 MB, but for one object at the end of the heap
cat >held.py <<'PY'
import ctypes, os, sys
trim = ctypes.CDLL(None).malloc_trim
trim(0)
sys.stdin.readline()
rows = [bytes(2000) for i in range(20000)]
kept = bytes(3000)
rows = None
print("ready", os.getpid(), hex(id(kept)), flush=True)
sys.stdin.readline()
trim(0)
print("trimmed", flush=True)
sys.stdin.readline()
PY
program held recorded held /usr/bin/python3 -I -S held.py
say begin
ready ready
read -r _ pid kept <held.out
asked held 1 "I freed it; why does RSS not fall?" vmaheap why held -p "$pid"
is "$(of ' 1 +(0x[0-9a-f]+) .*calloc\(3033\)')" "$kept" "held: the first pin is the object that the program has kept"
trimmed trim
near "$(of 'malloc_trim\(0\) now gives back ([0-9]+)')" $went 4 "held: the program trims, and as much goes back, to the page"
ended

# --- 2. postgres accounts for 1.4 MB of its contexts
# It will not run as root: it is somebody else in a namespace of its own.
as="unshare --user --map-user=65534 --map-group=65534"
$as initdb --no-sync -A trust -D pg >initdb.out 2>&1 || bail "initdb: $(cat initdb.out)"
$as postgres -D pg -k "$tmp" -c listen_addresses= >postgres.out 2>&1 &
server=$!
until_true 60 test -S .s.PGSQL.5432 || bail "postgres: $(cat postgres.out)"
program psql $as psql -h "$tmp" -U nobody -qAt -d postgres
until_true 60 pg_isready -q -h "$tmp"
say "select pg_backend_pid(); create table t as select x, repeat('y', x % 500) y from generate_series(1, 20000) x;" \
	"select count(*) from (select y from t order by y) s; select sum(total_bytes) from pg_backend_memory_contexts; select 'ready';"
ready ready
pid=$(sed -n 1p psql.out)
asked rss 1 "The profiler's total is not RSS; where is the rest?" vmaheap why rss -p "$pid"
kb() { of "^ *$1 +([0-9.]+) .*"; }
is "$(kb resident)" "$(smaps "$pid" Rss)" "rss: resident, as smaps adds up"
is "$(kb shared)" "$(awk '$2 ~ /s$/ { s = 1 } $2 ~ /p$/ { s = 0 } $1 == "Rss:" && s { n += $2 } END { print n }' "/proc/$pid/smaps")" "rss: what is shared"
is "$(kb stacks)" "$(awk 'NF > 4 && $1 ~ /-/ { s = /\[stack\]/ } $1 == "Rss:" && s { print $2 }' "/proc/$pid/smaps")" "rss: the stack"
is "$(kb 'page tables')" "$(awk '/^VmPTE/ { print $2 }' "/proc/$pid/status")" "rss: page tables"
is "$(awk '/^  / { for (i = 1; i < NF && $i !~ /^[0-9.]+$/; i++); n += $i } / unknown / { u = $i } /^resident/ { r = $2 }
	END { print (n > r - 1 && n < r + 1), (u * 100 <= r) }' <<<"$answer")" "1 1" "rss: the terms make up what is resident, and less than 1 % is unknown"
own=$(sed -n 3p psql.out)
is "$(awk -v own="$own" -v live="$(kb live)" 'BEGIN { print (own > 1e6 && live * 1024 > own * 0.8 && live * 1024 < own * 2) }')" 1 \
	"rss: postgres's own account, $own bytes, is in what is live"
ended
kill -INT "$server"
wait "$server"

# --- 3. python3 keeps one of 40 small objects
cat >waste.py <<'PY'
import ctypes, os, sys
trim = ctypes.CDLL(None).malloc_trim
sys.stdin.readline()
rows = [bytes(600) for i in range(20000)]
for i in range(20000):
    if i % 40:
        rows[i] = None
print("ready", os.getpid(), flush=True)
sys.stdin.readline()
for i in range(0, 20000, 40):
    rows[i] = None
trim(0)
print("trimmed", flush=True)
sys.stdin.readline()
PY
program waste recorded waste /usr/bin/python3 -I -S waste.py
say begin
ready ready
read -r _ pid <waste.out
asked waste 1 "Is it a leak or fragmentation?" vmaheap report --waste=hostage -p "$pid"
row() { awk '/^ *live +chunks/ { getline; print $'"$1"' }' <<<"$answer"; }
is "$(row 2)" 500 "waste: the first place has the 500 objects that were kept"
now=$(vmaheap why held --json -p "$pid" | jq .trim_now)
trimmed free
# What python3 itself allocates and frees on the way there is not in it; 71-held.t has such to the page.
near "$(row 7)" $((went - now / 1024)) 16 "waste: the program frees them and trims, and as much goes back, give or take four pages"
ended

# --- 4. xz, with a thread for each block
program arenas recorded arenas xz -T3 -0 --block-size=200000
seq 200000 >&8
until_true 60 eval 'pid=$(pgrep -x xz) && [ "$(ls "/proc/$pid/task" | wc -l)" = 4 ]' || bail "xz: no threads"
until_true 60 asleep "$pid" || bail "xz has no rest"
asked arenas 9 "What are these 64 MiB anonymous blocks?" vmaheap why arena -p "$pid"
# A block: accessible from a multiple of 64 MiB on, and a rest that is not, up to the next.
is "$(awk '/^ +[1-9]/ { print $2, $4 }' <<<"$answer" | sort)" "$(perl -ne '/^(\w+)-(\w+) (\S+) \S+ 00:00 0 *$/ or next;
	my ($lo, $hi) = (hex $1, hex $2);
	print "$block ", ($end - hex $block) / 1024, "\n" if $3 eq "---p" && $lo == $end && hex($block) + (64 << 20) == $hi;
	($block, $end) = ($1, $hi) if $3 eq "rw-p" && !($lo % (64 << 20))' "/proc/$pid/maps" | sort)" "arenas: each block, and what of it is accessible, by maps"
is "$(awk '/^ +[0-9]/ { print $10 }' <<<"$answer" | sort -n | xargs)" "$(ls "/proc/$pid/task" | sort -n | xargs)" "arenas: and whose it is, each thread of the process"
ended

# --- 5. perl's 200 kB strings
program=(perl -e 'for (1 .. 20) { my $s = "x" x 200000; undef $s } my $s = "y" x 150000; print "end\n"')
recorded threshold "${program[@]}" >threshold.out 2>&1
asked threshold 9 "Why is my 200 kB buffer on brk now?" vmaheap why threshold threshold.trace
# counted [SETTING]: brk, mmap and munmap of the program alone, by strace
counted() {
	GLIBC_TUNABLES=${1-} strace -qq -o counted -e trace=brk,mmap,munmap "${program[@]}" >/dev/null
	for call in brk mmap munmap; do grep -c "^$call(" counted; done | xargs
}
less() { paste -d ' ' <(xargs -n 1 <<<"$1") <(xargs -n 1 <<<"$2") | awk '{ print $1 - $2 }' | xargs; }
played() { awk -v s="$1" 'index($0, s) == 1 && / [0-9]+$/ { print $(NF - 5), $(NF - 4), $(NF - 3) }' <<<"$answer"; }
plainly=$(counted)
for setting in glibc.malloc.mmap_threshold=131072 glibc.malloc.mmap_threshold=33554432 glibc.malloc.top_pad=1048576; do
	is "$(less "$(played "$setting ")" "$(played '(as it was)')")" "$(less "$(counted $setting)" "$plainly")" \
		"threshold: more or fewer calls with $setting, by strace"
done

# --- 6. git reads objects
git init -q repo
for i in $(seq 40); do
	seq "$i" 3000 >repo/file
	(cd repo && git add . && git -c user.name=t -c user.email=t@t -c gc.auto=0 commit -qm "$i") || bail "git"
done
recorded calls git -C repo log --stat >calls.out 2>&1
strace -qq -o counted -e trace=brk,mmap,munmap,mremap git -C repo log --stat >/dev/null
asked calls 1 "Who called mmap and brk behind malloc's back?" vmaheap report calls.trace
is "$(awk '$1 ~ /^(brk|munmap|mremap)$/ { print $1, $2 }' <<<"$answer" | sort)" \
	"$(grep -v '^brk(NULL)' counted | sed -nE 's/^(brk|munmap|mremap)\(.*/\1/p' | sort | uniq -c | awk '{ print $2, $1 }')" "calls: as many as strace counts"
# The shim is one more library to load.
is "$(awk -v n="$(grep -c '^mmap(' counted)" '$1 == "mmap" { print ($2 >= n && $2 <= n + 16) }' <<<"$answer")" 1 "calls: and mmap, but for the shim's own"

# --- 7. python3 maps a page again and again, each of its own
cat >enomem.py <<'PY'
import mmap, os, sys
kept = []
try:
    while True:
        kept.append(mmap.mmap(-1, 4096))
except OSError as error:
    del kept[-9:]
    print(len(kept) + 9, error)
print("ready", os.getpid(), flush=True)
sys.stdin.read()
PY
limit=$(cat /proc/sys/vm/max_map_count)
echo 2000 >/proc/sys/vm/max_map_count
program enomem recorded enomem /usr/bin/python3 -I -S enomem.py
ready ready
pid=$(sed -n 's/^ready //p' enomem.out)
asked enomem 1 "mmap fails with ENOMEM though there is memory; who uses up max_map_count?" vmaheap why enomem -p "$pid"
is "$(of '^VMAs: ([0-9]+) .*')" "$(wc -l <"/proc/$pid/maps")" "enomem: as many VMAs as maps has lines"
like "$answer" '^ENOMEM: 1 mmap: vm.max_map_count$' "enomem: why the call failed"
is "$(awk -v n="$(($(sed -n 1p enomem.out | sed 's/ .*//') - 9))" '/^ *[0-9]+  mmap at/ { print (n > 1000 && $1 >= n && $1 <= n + 32); exit }' <<<"$answer")" 1 \
	"enomem: the first row has the mappings that the program has kept"
echo "$limit" >/proc/sys/vm/max_map_count
ended

# --- 8. xz -9 has hardly any input yet
program lazy recorded lazy xz -9 -T1
seq 20000 >&8
until_true 60 eval 'pid=$(pgrep -x xz) && [ "$(smaps "$pid" Size)" -gt 600000 ] && asleep "$pid"' || bail "xz does not start"
asked lazy 3 "I allocated 700 MB and RSS is 5 MB" vmaheap report --waste=untouched -p "$pid"
total() { awk '/  all, of / { print $'"$1"' }' <<<"$answer"; }
# of the heap, and of what is as large as that
large() { awk -v key="$1:" '$1 ~ /-/ { heap = /\[heap\]/ } $1 == "Size:" { at = heap || $2 > 600000 } at && $1 == key { n += $2 } END { print n }' "/proc/$pid/smaps"; }
near "$(total 3)" "$(large Rss)" 1 "lazy: what is resident, by smaps"
near "$(total 4)" $(($(large Size) - $(large Rss))) 1 "lazy: what was never touched, by smaps"
ended

# --- 9. where perl has a string
program pointer recorded pointer perl -e '$| = 1; my $s = "string " x 1000; printf "ready %d 0x%x\n", $$, unpack("J", pack("P", $s)); <STDIN>'
ready ready
read -r _ pid at <pointer.out
asked pointer 9 "What backs this pointer?" vmaheap why "$at" -p "$pid"
is "$(of '^  chunk +(0x[0-9a-f]+), 7002 bytes, \+0')" "$at" "pointer: perl's string, with its ends"
is "$(of '^  VMA +([0-9a-f]+-[0-9a-f]+ .{4}) .*')" "$(sed -nE '/\[heap\]/s/^(\S+ \S+).*/\1/p' "/proc/$pid/maps")" "pointer: the VMA, by maps"
is "$(($(of '^  frame +(0x[0-9a-f]+),.*')))" "$(($(dd if="/proc/$pid/pagemap" bs=8 skip=$((at / 4096)) count=1 status=none | od -An -t u8) & (1 << 55) - 1))" "pointer: the frame, by pagemap"
ended
echo "$had" >$huge
done_testing
