#!/bin/bash
# Every allocator, linked and preloaded, dynamic and static: what a victim tells of each of its
# calls, against what vmaheap says of them; who serves the process; and where nothing can be seen,
# that it is said.
set -u
. "$(dirname "$0")/lib.sh"

victims=$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
load
cd "$tmp" || bail "no $tmp"

# The victim's calls in the victim's form. Where operator new calls malloc, that is what is seen.
calls() {
	vmaheap script --json "$1" | jq -r '
	select(.kind == "call" and .phase != "leave" and
		(.caller.symbol // "" | test("^(victim_|_Zn[wa]|_Zd[la]|operator )"))) |
	if .phase == "free" or .phase == "realloc_enter" then select(.addr != "0x0") | "free \(.addr)"
	else "\(.op) \(.size) \(.addr)" end'
}

# ran NAME OPTIONS... -- COMMAND...: the trace is NAME, the truth NAME.truth
ran() {
	local name=$1
	shift
	vmaheap record -o "$name" "$@" >"$name.truth" 2>"$name.err"
	is $? 0 "$name: exit status"
	like "$(cat "$name.err")" 'lost: 0,' "$name: nothing lost"
}

# row NAME ALLOCATOR COMMAND...
row() {
	local name=$1 kind=$2 chunks
	shift 2
	ran "$name" -- "$@"
	calls "$name" >"$name.calls"
	# Two functions at one address have one name for a uprobe.
	if grep -q uprobes "$name.err"; then
		sed -i 's/^memalign/aligned_alloc/' "$name.truth" "$name.calls"
	fi
	if cmp -s "$name.calls" <(grep -v '^live' "$name.truth"); then
		pass "$name: its $(wc -l <"$name.calls") calls, one by one"
	else
		fail "$name: its calls"
		diag "$(diff "$name.calls" <(grep -v '^live' "$name.truth") | head -n 10)"
	fi
	is "$(vmaheap report --json "$name" | jq -c '.spaces[-1] | [.allocator.name, .doubts.unknown_frees, .doubts.double_allocs]')" \
		"[\"$kind\",0,0]" "$name: who serves it, and every free has its malloc"
	chunks=$(vmaheap maps --json "$name" | jq -c '[([.vmas[].chunks] | add), .totals.chunks]')
	is "$(jq '.[0] == .[1]' <<<"$chunks")" true "$name: every live chunk lies in a VMA $chunks"
	diag "$SECONDS s: $name: $(wc -l <"$name.calls") events, $(tail -n 1 "$name.truth"), $(grep -o 'events: .*' "$name.err")"
}

row glibc glibc "$victims/alloc_ops"
common=$(wc -l <glibc.calls)
for a in jemalloc tcmalloc mimalloc; do
	row $a-linked $a "$victims/alloc_ops-$a"
	lib=$(ldd "$victims/alloc_ops-$a" | awk "/$a/ { print \$3 }")
	export LD_PRELOAD=$lib
	row $a-preloaded $a "$victims/alloc_ops"
	unset LD_PRELOAD
done
# Uprobes go to where the program's malloc will be; the functions that only a library has come last.
for a in jemalloc tcmalloc mimalloc musl; do
	ran $a-probed --alloc=uprobe -- "$victims/alloc_ops-$a"
	calls $a-probed >$a-probed.calls
	sed -i 's/^memalign/aligned_alloc/' $a-probed.calls $a-probed.truth
	n=$(sed -n '/^live/!p' $a-probed.truth | wc -l)
	[ "$n" -lt "$common" ] || n=$common
	is "$(diff <(head -n "$n" $a-probed.calls) <(head -n "$n" $a-probed.truth) | head -n 10)" "" \
		"$a-probed: $n calls of C and C++, one by one"
done
exits 125 "uprobes, and nothing to probe" vmaheap record --alloc=uprobe -o nothing -- "$victims/alloc_ops-stripped"
like "$(cat "$tmp/said")" 'no malloc found \(allocator opaque\)' "it is said"
# What frees more than it names is a loss, for only the library knows what.
vmaheap record -o destroyed -- "$victims/alloc_ops-mimalloc" destroy 2>destroyed.err
is "$? $(grep -o 'lost: [0-9]*' destroyed.err)" "0 lost: 1" "mi_heap_destroy: it is told that chunks have gone"
# A kernel that lets only a debugger write to what is read-only, as its first pointer is; and no /proc.
row jemalloc-strict jemalloc strace -D -qq -o /dev/null -e trace=pwrite64 -e inject=pwrite64:error=EIO:when=1 "$victims/alloc_ops-jemalloc"
row jemalloc-noproc jemalloc strace -D -qq -o /dev/null -e trace=pwrite64 -e inject=pwrite64:error=EBADF "$victims/alloc_ops-jemalloc"
# A real program under an allocator that it does not know of.
PYTHONMALLOC=malloc LD_PRELOAD=$lib ran python3 -- python3 -Sc 'print(len([str(i) for i in range(3000)]))'
is "$(cat python3.truth)" 3000 "python3: its output"
is "$(vmaheap report --json python3 | jq -c '.spaces[-1] | [.allocator.name, .doubts.unknown_frees, .doubts.double_allocs, .calls.calls > 10000]')" \
	'["mimalloc",0,0,true]' "python3: seen, and every free has its malloc"
like "$(vmaheap maps jemalloc-linked)" ' pool ' "what the allocator maps is its pool"
row musl musl "$victims/alloc_ops-musl"
row static glibc "$victims/alloc_ops-static"
like "$(cat static.err)" 'statically linked, so the preloaded shim sees no call of its malloc: uprobes do' "static: it is said how"
row musl-static musl "$victims/alloc_ops-musl-static"
row own "" "$victims/alloc_ops-own"
like "$(cat own.err)" 'defines malloc itself, .*: uprobes do' "a program with a malloc of its own: it is said how"
chmod 777 .
setpriv --reuid 65534 --regid 65534 --clear-groups "$(command -v vmaheap)" record --kernel=none -o own-user -- "$victims/alloc_ops-own" >own-user.truth 2>own-user.err
is $? 0 "the same as any user: exit status"
like "$(cat own-user.err)" 'allocator opaque \(uprobes need root\)' "the same as any user: it is said"
is "$(vmaheap report --json own-user | jq -c '.spaces[-1].calls')" null "and not that there was new without malloc"
# What is executed later has the shim, which sees the C++ library's calls at best.
vmaheap record --kernel=none -f -o own-child -- sh -c '"$0"; :' "$victims/alloc_ops-own" >own-child.truth 2>own-child.err
is "$(vmaheap report --json own-child | jq -c '.spaces[-1] | [.comm, .doubts.calls_lost > 0]')" '["alloc_ops-own",true]' \
	"a child without the module: it is there, and that its calls are missing"
like "$(vmaheap maps own-child -p "$(vmaheap report --json own-child | jq '.spaces[-1].pid')")" 'alloc_ops-own' "its VMAs are seen"

# Beside C's, under names of its own: by no pointer that the shim could set.
for p in je_ _rjem_; do
	row beside-$p jemalloc "$victims/alloc_ops-beside-$p"
done
ran beside-mi_ -- "$victims/alloc_ops-beside-mi_"
calls beside-mi_ | sed 's/^memalign/aligned_alloc/' >beside-mi_.calls
is "$(diff beside-mi_.calls <(sed '/^live/d; s/^memalign/aligned_alloc/' beside-mi_.truth) | head -n 10)" "" \
	"beside-mi_: its $(wc -l <beside-mi_.calls) calls, one by one"
like "$(cat beside-je_.err)" 'calls an allocator by names of its own .*: uprobes do' "names of its own: it is said how"
setpriv --reuid 65534 --regid 65534 --clear-groups "$(command -v vmaheap)" record --kernel=none -o beside-user -- "$victims/alloc_ops-beside-je_" >beside-user.truth 2>beside-user.err
is "$? $(grep -c 'names of its own.* (uprobes need root)' beside-user.err)" "0 1" "the same as any user: it is said"
vmaheap record -f -o beside-child -- sh -c '"$0"; "$0"; :' "$victims/alloc_ops-beside-_rjem_" >beside-child.truth 2>beside-child.err
is "$? $(grep -o 'lost: [0-9]*' beside-child.err)" "0 lost: 2" "two children of this kind: a loss in each"
is "$(grep -c 'calls jemalloc by names of its own (_rjem_malloc): these calls are not heard' beside-child.err)" 1 "and why, once"
vmaheap record --alloc=walk:100 -o beside-walk -- sh -c 'exec "$0"' "$victims/alloc_ops-beside-mi_" >beside-walk.truth 2>beside-walk.err
like "$(xargs <beside-walk.err)" 'calls mimalloc by names of its own .* lost: 1,' "nor is it in a libc's books"

for p in own own-sysv; do
	vmaheap record -o $p-later -f -- sh -c "exec '$victims/alloc_ops-$p'" >$p-later.truth 2>$p-later.err
	is "$? $(grep -o 'lost: [0-9]*' $p-later.err)" "0 lost: 1" "$p, executed by another program: a loss"
	like "$(cat $p-later.err)" 'process [0-9]+ defines malloc itself' "and why"
	like "$(vmaheap report $p-later)" 'counts and live chunks are not complete' "its report says it"
done

# Nor does the shim see what has a C library of its own; a forked copy has that library, too.
vmaheap record -o past -f -- python3 -Sc 'import os
from ctypes import CDLL, c_long, c_void_p
dlmopen = CDLL(None).dlmopen
dlmopen.restype = c_void_p
if not dlmopen(c_long(-1), b"libm.so.6", os.RTLD_NOW):
	exit(1)
if os.fork():
	os.wait()' >past.truth 2>past.err
is "$? $(grep -o 'lost: [0-9]*' past.err)" "0 lost: 2" "a library that is opened past the shim: a loss in each process"
like "$(cat past.err)" 'opens a library past the shim' "and why"
# What looks in the C library first is seen, where the kernel lets us write there or not.
ran deepbind -- "$victims/late" deepbind
is "$(vmaheap report --json deepbind | jq -c '.spaces[-1] | [.calls.calls >= 2000, .doubts.unknown_frees]')" "[true,0]" \
	"a library that looks in the C library first"

# --- where nothing is to be seen
ran stripped -- "$victims/alloc_ops-stripped"
like "$(cat stripped.err)" 'allocator opaque' "stripped: it is said"
is "$(vmaheap report --json stripped | jq -c '.spaces[-1] | [.allocator, .calls, .kernel.events > 0]')" \
	'[{"name":"","file":null,"static":true},null,true]' "stripped: the VMA side alone"
like "$(vmaheap maps stripped)" '^Allocator: opaque' "maps says it"
ran asked --alloc=shim -- "$victims/alloc_ops-static"
like "$(cat asked.err)" 'sees no call of its malloc' "the shim was asked for and cannot: it is said"
cp "$victims/alloc_ops" other && chown 65534 other && chmod u+s other
ran setuid -- ./other
like "$(cat setuid.err)" 'other rights than yours.*: uprobes do' "set-user-ID: uprobes"
is "$(calls setuid | wc -l)" "$(grep -vc '^live' setuid.truth)" "set-user-ID: all its calls"
done_testing
