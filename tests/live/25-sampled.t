#!/bin/bash
# Without the module and without privilege: the allocator's side alone (--kernel=none).
set -u
. "$(dirname "$0")/lib.sh"

# Where anybody may get at them, wherever they were built.
build=$(cd "$(dirname "$0")/../.." && pwd)/build
mkdir "$tmp/bin" "$tmp/work" "$tmp/run"
cp "$(command -v vmaheap)" "$build/libvmaheap-shim.so" "$build"/tests/victims/{small,family,alloc_threads,churn} "$tmp/bin/"
chmod 755 "$tmp" "$tmp/bin"
chown 65534:65534 "$tmp/work" "$tmp/run"
chmod 700 "$tmp/run"
cd "$tmp/work" || bail "no $tmp/work"
as_nobody() {
	setpriv --reuid=65534 --regid=65534 --clear-groups \
		env "PATH=$tmp/bin:/usr/bin:/bin" XDG_RUNTIME_DIR="$tmp/run" HOME=/nonexistent VMAHEAP_KO= "$@"
}

exits 125 "an ordinary user without the module" as_nobody vmaheap record -o no -- small
like "$(cat "$tmp/said")" '--kernel=none' "is told of --kernel=none"
exits 125 "neither side" as_nobody vmaheap record --kernel=none --alloc=none -o no -- small
like "$(cat "$tmp/said")" 'nothing to watch' "is refused"
exits 125 "verify without the module" as_nobody vmaheap record --kernel=none --verify -o no -- small
like "$(cat "$tmp/said")" 'nothing to compare' "is refused"
exits 125 "an unknown side" as_nobody vmaheap record --kernel=some -o no -- small
like "$(cat "$tmp/said")" 'module or none' "is refused"

for dir in "$tmp" ""; do
	ok "a run directory that is not his (${dir:-none})" as_nobody env XDG_RUNTIME_DIR="$dir" vmaheap record --kernel=none -o "run${dir##*/}" -- small
done

# --- what a victim tells of itself
as_nobody vmaheap record --kernel=none -o small -- small >small.truth 2>small.err
is $? 0 "small: exit status"
like "$(cat small.err)" '^events: [1-9][0-9]* \(no module: VMAs as seen [1-9][0-9]* times\), lost: 0$' "nothing lost, and what the VMAs are"
read -r _ addr size name < <(grep '^live' small.truth | head -n 1)
is "$(vmaheap why --json "$addr" small | jq -r '"\(.chunk.size) \(.chunk.caller.symbol) \(.vma.name) \(.vma.made.kind) \(.vma.made.call)"' |
	sed 's/+0x[0-9a-f]*//')" "$size told_malloc (small) $name sampled null" "why: the chunk and its VMA; who made that is not known"
like "$(vmaheap maps small)" '^No module: these are the VMAs that /proc/PID/maps listed' "maps says it"
like "$(vmaheap maps small | sed -nE "s/^(No module: .* listed|The kernel's counters) at ([0-9.]+) s.*/\2/p" | xargs)" \
	'^([0-9.]+) \1$' "and of when the kernel's counters are"
is "$(vmaheap maps --json small | jq -r '"\(.kernel) \(.from_start) \([.vmas[].made.kind] | unique | join(" ")) \(.totals.resident > 0)"')" \
	"none true sampled true" "maps: sampled VMAs, residency"
like "$(vmaheap report small)" 'Not known: there was no module' "report says it"
is "$(vmaheap report --json small | jq -c '.spaces[0] | [.vmas_sampled, .kernel, .syscalls, .callers, .calls.to_kernel, .doubts.unknown_frees]')" \
	'[true,null,null,null,null,0]' "report: what only the module knows is null"
is "$(babeltrace2 small 2>&1 | grep -Evc '\) (build_id|stack): ')" "$(vmaheap script small | wc -l)" "babeltrace2 reads the trace"

# --- shorter than any look, and without a call
for i in 1 2 3 4 5; do
	as_nobody vmaheap record --kernel=none -o true$i -- true 2>true.err
done
is "$(for i in 1 2 3 4 5; do vmaheap report --json true$i | jq -r '.spaces[0].comm'; done | sort | uniq -c | xargs)" "5 true" \
	"a program that ends at once is there all the same"

as_nobody vmaheap record --kernel=none -f -o trues -- sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do /bin/true; done; exit 0' 2>true.err
is "$(vmaheap report --json trues | jq -c '[.spaces[] | [.comm, .cause]] | unique')" '[["sh","exec"],["true","exec"]]' \
	"so are its children"
is "$(vmaheap report --json trues | jq -c '.spaces | length')" 13 "each of them"

# --- threads: all that they did
as_nobody vmaheap record --kernel=none -o threads -- alloc_threads 20000 >threads.truth 2>threads.err
is $? 0 "threads: exit status"
like "$(cat threads.err)" 'lost: 0$' "threads: nothing lost"
is "$(vmaheap report --json threads | jq -c '.spaces[0].doubts | [.calls_lost, .unknown_frees, .double_allocs]')" "[0,0,0]" \
	"threads: every free has its malloc"

# --- fork and exec
as_nobody vmaheap record --kernel=none -f -o family -- family >family.truth 2>family.err
is $? 0 "family: exit status"
for who in child leaf parent; do
	read -r _ pid addr size < <(grep "^$who " family.truth)
	is "$(vmaheap why --json "$addr" -p "$pid" family | jq .chunk.size)" "$size" "$who: its chunk"
done
read -r _ pid addr size < <(grep '^child ' family.truth)
is "$(vmaheap report --json family | jq -c "[.spaces[] | select(.pid == $pid)] | .[0] | [.cause, .live.from_start]")" '["attach",false]' \
	"a forked copy is watched from its first call on"
as_nobody vmaheap record --kernel=none -o alone -- family >alone.truth 2>alone.err
read -r _ pid addr size < <(grep '^child ' alone.truth)
exits 125 "without -f: the child is not watched" vmaheap maps -p "$pid" alone

# --- what a forked copy has of its parent, which malloc's books name
as_nobody env PYTHONMALLOC=malloc vmaheap record --kernel=none -f -o copy -- python3 -Sc 'import os, signal, time
kept = [bytearray(100 + i % 200) for i in range(20000)]
pid = os.fork()
if pid:
    os.waitpid(pid, os.WUNTRACED)
    print(pid, flush=True)
    os.waitpid(pid, 0)
else:
    del kept[::2]
    time.sleep(0.5)
    del kept[::2]
    os.kill(os.getpid(), signal.SIGSTOP)' >copy.out 2>copy.err &
job=$!
until_true 30 grep -q . copy.out || bail "no copy"
pid=$(cat copy.out)
is "$(as_nobody vmaheap report --json -p "$pid" | jq .spaces[-1].live.chunks)" "$(as_nobody vmaheap heap --json -p "$pid" | jq "[.arenas[].used.chunks, .mmapped.chunks] | add")" \
	"copy: what it inherited is found"
kill -CONT "$pid"
wait $job
is $? 0 "copy: exit status"
like "$(cat copy.err)" '^record: 1 process stood still for [0-9.]* ms while its heap was read' "and what that took is said"

# --- children that do not have the shim, the second one not to be looked at
cp "$(command -v sleep)" "$tmp/bin/hidden"
chmod 711 "$tmp/bin/hidden"
as_nobody vmaheap record --kernel=none -f -o bare -- python3 -Sc 'import os, sys
for path in sys.argv[1:]:
    os.waitpid(os.posix_spawn(path, [path, "0.5"], {}), 0)' "$(command -v sleep)" "$tmp/bin/hidden" 2>bare.err
is $? 0 "no shim: exit status"
is "$(vmaheap report --json bare | jq -c '[.spaces[] | [.comm, .cause]]')" '[["python3","exec"],["sleep","exec"],["hidden","exec"]]' \
	"no shim: each is there, once"
pid=$(vmaheap report --json bare | jq '.spaces[1].pid')
is "$(vmaheap maps --json -p "$pid" bare | jq -r '[.vmas[].name | select(. == "[stack]" or endswith("/sleep"))] | unique | length')" 2 "with its VMAs"
is "$(grep -c 'may not be looked at' bare.err)" 1 "what may not be looked at is said, once"

# --- a daemon, whose parents are gone before it calls malloc; and one that stays until we are told to go
as_nobody env PYTHONMALLOC=malloc vmaheap record --kernel=none -f -o daemon -- python3 -Sc 'import os, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
time.sleep(0.5)
kept = [str(i) for i in range(20000)]' 2>daemon.err
is $? 0 "daemon: exit status"
# (A process on its way out may be taken for two, as in 28-shortlived.t.)
is "$(vmaheap report --json daemon | jq -c '.spaces | [([.[].pid] | unique | length), ([.[].calls.calls // 0] | max) >= 20000]')" "[3,true]" \
	"daemon: all that it did"
[ "$(vmaheap report --json daemon | jq '.spaces | length')" = 3 ] ||
	diag "$(vmaheap report --json daemon | jq -c '.spaces[] | [.pid, .comm, .cause, .calls.calls]')"
as_nobody vmaheap record --kernel=none -f -o stays -- sh -c 'sleep 300 & echo $!' >stays.out 2>stays.err &
job=$!
until_true 30 grep -q 'still watched, ^C ends it' stays.err
is $? 0 "what was started is waited for, and that is said"
pkill -INT -f 'record .*-o stays'
wait $job
is $? 0 "until ^C"
kill "$(cat stays.out)"
is $? 0 "which it does not notice"

# --- live questions, and a kill
as_nobody vmaheap record --kernel=none -o live -- churn 1 100 >churn.out 2>live.err &
until_true 30 grep -q running churn.out || bail "the victim does not run"
pid=$(pgrep -x churn)
ok "maps of a running process" as_nobody vmaheap maps -p "$pid"
like "$(cat "$tmp/said")" 'heap.*not known \(seen in a sample\)' "its heap"
exits 125 "verify" as_nobody vmaheap verify -p "$pid"
like "$(cat "$tmp/said")" 'there is no module' "has nothing to compare"
kill -9 "$pid"
wait $!
is $? 137 "killed: its status"
like "$(cat live.err)" 'lost: 0$' "killed: nothing lost"

# --- odd things that it may inherit
rm -rf /run/vmaheap
(umask 077 && vmaheap record --kernel=none -o masked -- true) 2>err
is "$(stat -c %a /run/vmaheap)" 711 "whatever the umask, other users' targets get at their socket"
ignoring() { perl -e '$SIG{CHLD} = "IGNORE"; exec @ARGV' -- "$@"; }
exits 3 "SIGCHLD ignored: the target's exit status" ignoring vmaheap record --kernel=none -o ignored -- sh -c 'exit 3'
is "$(ignoring vmaheap record --kernel=none -o ignored2 -- grep SigIgn /proc/self/status 2>err)" \
	"$(ignoring grep SigIgn /proc/self/status)" "which ignores it, too"
(ulimit -f 64 && ulimit -v 100000 && vmaheap record --kernel=none -o limits -- dash -c 'ulimit -f; ulimit -v') >limits.out 2>err
is "$(xargs <limits.out)" "128 100000" "limits are the target's"
like "$(cat err)" 'lost: 0$' "and not those of whom it is heard by"
(ulimit -S -f 64 && as_nobody vmaheap record --kernel=none -o soft -- small) 2>err >small.truth
like "$(cat err)" 'lost: 0$' "nor, of an ordinary user, soft ones"
"$tmp/bin/churn" 1 100 >churn.out &
pid=$!
until_true 30 grep -q running churn.out || bail "the victim does not run"
vmaheap attach --kernel=none -o closed -p $pid <&- >&- 2>&- &
job=$!
ok "no standard descriptor: it attaches" until_true 30 vmaheap maps -p $pid
kill -INT $job
wait $job
is $? 0 "until ^C"
kill -9 $pid
exits 125 "an answer that nobody gets" sh -c 'vmaheap maps small >&-'

# --- as root, with uprobes
vmaheap record --kernel=none --alloc=uprobe -o probed -- "$tmp/bin/small" >probed.truth 2>probed.err
is $? 0 "uprobes without the module: exit status"
read -r _ addr size name < <(grep '^live' probed.truth | head -n 1)
is "$(vmaheap why --json "$addr" probed | jq -r .chunk.size)" "$size" "uprobes: the chunk"
is "$(vmaheap report --json probed | jq -c '[.spaces[0].live.from_start, .lost.orphan_calls]')" "[true,0]" "uprobes: from the start"
done_testing
