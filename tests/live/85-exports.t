#!/bin/bash
# Each format of `vmaheap export`, opened by a reader that is not ours: with the same totals as
# `report --json`. On the host without the module, all of it; in the guest what the module tells.
set -u
. "$(dirname "$0")/lib.sh"
build=$(cd "$(dirname "$0")/../.." && pwd)/build
PATH=$build:$PATH
kernel=()
if in_guest; then
	load
else
	kernel=(--kernel=none)
fi
cd "$tmp" || bail "no $tmp"
# The memory that eight threads get from the kernel in every way that there is, and its causes.
# Of two chunks that were at one address within one stamp, the report may take the wrong one for the
# last, and then says that it has cut one off: no ground for comparing sums, so it is done again.
report() { jq -r "$1" report.json; }
for i in {1..10}; do
	rm -rf t
	vmaheap record "${kernel[@]}" --stacks -f -o t -- "$build/tests/victims/causes" 10 >truth 2>err
	status=$?
	vmaheap report --json t >report.json
	[ "$(report '[.spaces[].doubts.clipped] | add')" != 0 ] || break
	diag "$(cat err; report '.spaces[].doubts')"
done
is $status 0 "exit status"
is "$(report '[.spaces[].doubts | add] | add')" 0 "no doubts"
live=$(report '[.spaces[].live | .chunks, .bytes] | @tsv')
allocs=$(report '[[.spaces[].functions[] | select(.name != "free")] | (map(.calls - .failed) | add), (map(.asked) | add)] | @tsv')
is "$(report '.spaces | length')" 1 "one address space"

# babeltrace2 2.1, for this release's cannot read CTF 2.
babeltrace2() { "$build/../tests/babeltrace2" "$@"; }
events_of() { babeltrace2 "$1" 2>/dev/null | grep -vcE ' (stack|build_id): '; }
script_of() { vmaheap script "$1" 2>/dev/null | grep -vcE '^        |what was before was not kept'; }
same_ctf() { # OLD NEW
	local d
	for d in "$@"; do
		{
			babeltrace2 "$d"
			babeltrace2 "$d" -c sink.text.details
		} 2>&1 | sed "s,$PWD/$d,,; /Precision (cycles)/d" >"$d.text"
	done
	is "$(events_of "$2")" "$(script_of "$1")" "ctf2: as many events as in script"
	is "$(diff "$1.text" "$2.text")" "" "ctf2: each event, field and class is as in CTF 1.8"
}

on_host() { # without the module: most of it
# --- what is asked for wrongly
exits 125 "no format" vmaheap export t
exits 125 "an unknown format" vmaheap export --format=word t
like "$(cat "$tmp/said")" '--format=word: it is one of pprof, ' "is told which there are"
exits 125 "a file that cannot be" vmaheap export --format=pprof -o /nonexistent/file t
like "$(cat "$tmp/said")" '/nonexistent/file: No such file' "is refused"
exits 125 "sqlite: needs a file" vmaheap export --format=sqlite t
exits 125 "sqlite: a file that cannot be" vmaheap export --format=sqlite -o /nonexistent/t.db t
exits 125 "perfetto: of a process" vmaheap export --format=perfetto -o no.pftrace -p $$
like "$(cat "$tmp/said")" 'give its DIR' "perfetto: is refused"

ln -s /dev/full full # removed, it would be as bad as the device itself
exits 125 "csv: a device that is full" vmaheap export --format=csv -o full t
exits 125 "sqlite: a device" vmaheap export --format=sqlite -o full t
like "$(cat "$tmp/said")" 'full: File exists' "sqlite: is refused"
ok "and stays where it is" test -L full

exits 125 "ctf2: needs a directory" vmaheap export --format=ctf2 t
exits 125 "ctf2: of a moment" vmaheap export --format=ctf2 --at 1 -o no.ctf2 t
exits 125 "ctf2: where something is" vmaheap export --format=ctf2 -o t t
like "$(cat "$tmp/said")" 't: File exists' "ctf2: is refused"
mkdir none
exits 125 "ctf2: of what is no trace" vmaheap export --format=ctf2 -o no.ctf2 none
like "$(cat "$tmp/said")" "none: not a trace: there is no file 'metadata' in it" "ctf2: is refused"
ok "ctf2: and leaves no directory" test ! -e no.ctf2

# A trace that was cut off: what is left of it.
cp -r t cut
truncate -s -1 cut/notes
exits 1 "a truncated trace" vmaheap export --format=csv -o cut.csv cut
ok "the rest is there" test "$(wc -l <cut.csv)" -gt 100
exits 1 "ctf2: a truncated trace" vmaheap export --format=ctf2 -o cut.ctf2 cut
is "$(events_of cut.ctf2)" "$(script_of cut)" "ctf2: the rest is there"

# A trace whose front was thrown away.
vmaheap record --kernel=none --max-size=1M -o row -- "$build/tests/victims/churn" 2 2 >row.out 2>row.err
ok "ctf2: the front is gone" test ! -e row/alloc-0
ok "ctf2: a row of segments" vmaheap export --format=ctf2 -o row.ctf2 row
same_ctf row row.ctf2

# --- pprof, by pprof's own description of it
protoc --python_out=. -I /usr/share/gocode/src/github.com/google/pprof/proto profile.proto || bail "no protoc"
cat >read_pprof.py <<'END'
import gzip, sys, profile_pb2
p = profile_pb2.Profile.FromString(gzip.open(sys.argv[1]).read())
text = p.string_table
types = [text[t.type] + "/" + text[t.unit] for t in p.sample_type]
where = {l.id: l for l in p.location}
names = {f.id: text[f.name] for f in p.function}
if sys.argv[2] == "sums":
    print("\n".join(f"{t} {sum(s.value[i] for s in p.sample)}" for i, t in enumerate(types)))
elif sys.argv[2] == "stacks":
    for s in p.sample:
        print(" ".join(names[n.function_id] for l in s.location_id for n in where[l].line))
elif sys.argv[2] == "files":
    for m in p.mapping:
        print(text[m.filename], text[m.build_id])
    print("outside:", sum(1 for l in p.location if l.mapping_id and not
          [m for m in p.mapping if m.id == l.mapping_id and m.memory_start <= l.address < m.memory_limit]))
elif sys.argv[2] == "time":
    print(text[0] == "", p.time_nanos, {text[l.key]: l.num for l in p.sample[0].label}["pid"])
END
profile() { /usr/bin/python3 read_pprof.py "$@"; }
ok "pprof" vmaheap export --format=pprof -o t.pb.gz t
is "$(profile t.pb.gz sums)" "$(paste -d ' ' <(printf '%s\n' inuse_objects/count inuse_space/bytes alloc_objects/count alloc_space/bytes) \
	<(printf '%s\t%s' "$live" "$allocs" | tr '\t' '\n'))" "pprof: the report's totals"
like "$(profile t.pb.gz stacks)" '^(allocate|move) work start_thread clone3$' "pprof: whole stacks"
like "$(profile t.pb.gz files)" '/causes [0-9a-f]{40}$' "pprof: the build id of the program"
like "$(profile t.pb.gz files)" '^outside: 0$' "pprof: each address lies in its mapping"
read -r empty ns pid <<<"$(profile t.pb.gz time)"
is "$empty $pid" "True $(report .spaces[0].pid)" "pprof: the process"
ok "pprof: the time of day" test $((ns / 1000000000 - $(date +%s))) -ge -600 -a $((ns / 1000000000 - $(date +%s))) -le 0
half=$(jq -r '.start as $s | .spaces[0] | ((.born + (.died // $s)) / 2 - $s) / 1e9' report.json)
vmaheap export --format=pprof --at "$half" -o half.pb.gz t
is "$(profile half.pb.gz sums | awk 'NR <= 2 { print $2 }' | xargs)" \
	"$(vmaheap report --json --at "$half" t | jq -r '.spaces[0].live | "\(.chunks) \(.bytes)"')" "pprof: of another moment"
exits 125 "pprof: before there was an allocator" vmaheap export --format=pprof --at 0 -o none.pb.gz t
like "$(cat "$tmp/said")" 'no allocator events' "pprof: is refused"
ok "pprof: and leaves no file" test ! -e none.pb.gz

# --- heaptrack
ok "heaptrack" vmaheap export --format=heaptrack -o t.heaptrack t
heaptrack() { # SORT: what it prints for flame graphs, summed up
	heaptrack_print -F "$1.stacks" --flamegraph-cost-type "$1" t.heaptrack >/dev/null 2>heaptrack.err
	awk '{ n += $NF } END { print n }' "$1.stacks"
}
is "$(heaptrack leaked)" "${live#*	}" "heaptrack: bytes that are live in the end"
is "$(heaptrack allocations)" "${allocs%	*}" "heaptrack: all allocations"
like "$(cat leaked.stacks)" '^clone3;start_thread;(allocate|move);work .* [0-9]+$' "heaptrack: whole stacks"
is "$(cat heaptrack.err)" "" "heaptrack: nothing to complain of"
exits 125 "heaptrack: of a process that is not there" vmaheap export --format=heaptrack -p 1 -o no.heaptrack t

# --- CSV
vmaheap export --format=csv -o t.csv t
cat >read_csv.py <<'END'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1], newline=""), strict=True))
number = lambda r, n: int(r[n] or 0)
made = [r for r in rows if r["event"] in ("alloc", "realloc_return") and int(r["address"], 16)]
print(len(made), sum(number(r, "size") for r in made))
print(all(len(r) == 12 and None not in r for r in rows), sorted(rows, key=lambda r: number(r, "time_ns")) == rows)
vma = [r for r in rows if r["event"] == "vma"]
print(len(vma), *(sum(number(r, n) for r in vma) for n in ("mapped", "unmapped", "protected")))
END
is "$(/usr/bin/python3 read_csv.py t.csv)" "${allocs/	/ }
True True
$(report '.spaces[0].kernel // {} | "\(.events // 0) \(.mapped // 0) \(.unmapped // 0) \(.changed // 0)"')" "csv: the report's totals"

# --- a process that stands still, half of whose memory was never touched
vmaheap record "${kernel[@]}" -o live -- python3 -c 'import os, time
x = [bytes([i % 250 + 1]) * 9000 for i in range(100)]; y = bytes(8 << 20)
print("there", os.getpid(), flush=True); time.sleep(600)' >live.out 2>live.err &
until_true 30 grep -q there live.out || bail "python3 does not run"
pid=$(sed -n 's/^there //p' live.out)
ok "pprof: of a process" vmaheap export --format=pprof -o live.pb.gz -p "$pid"
vmaheap report --waste --json -p "$pid" >live.json
is "$(profile live.pb.gz sums)" "$(jq -r '.total | "inuse_objects/count \(.chunks)", "inuse_space/bytes \(.live)",
	"resident_space/bytes \(.resident)", "untouched_space/bytes \(.untouched)", "hostage_space/bytes \(.hostage)"' live.json)" "pprof: what its pages are"
ok "pprof: much was never touched" test "$(jq .total.untouched live.json)" -gt 8000000
is "$(vmaheap export --format=folded -p "$pid" | awk '{ n += $NF } END { print n }')" "$(jq .total.live live.json)" "folded: of a process"
kill "$pid"
wait "$!"

# --- OpenMetrics, from a daemon of nobody's, for what root's one watches is everybody's here
mkdir "$tmp/bin" "$tmp/run" "$tmp/metrics"
cp "$build"/vmaheap "$build"/vmaheapd "$build"/libvmaheap-shim.so "$tmp/bin/"
chmod 755 "$tmp" "$tmp/bin"
chown 65534:65534 "$tmp/run" "$tmp/metrics"
chmod 700 "$tmp/run"
as_nobody() {
	exec setpriv --reuid=65534 --regid=65534 --clear-groups \
		env "PATH=$tmp/bin:/usr/bin:/bin" XDG_RUNTIME_DIR="$tmp/run" HOME=/nonexistent VMAHEAP_KO= "$@"
}
as_nobody vmaheapd --metrics="$tmp/metrics/v.prom" &
daemon=$!
until_true 10 test -s metrics/v.prom
is "$(grep ^vmaheap metrics/v.prom)" "vmaheap_watched_processes 0" "openmetrics: nothing is watched"
(as_nobody vmaheap record --kernel=none -o metrics/t -- /usr/bin/python3 -c 'import os, time
x = [bytes(9000) for i in range(100)]
print("there", os.getpid(), flush=True); time.sleep(600)' >metrics.out 2>metrics.err) &
recorder=$!
until_true 30 grep -q there metrics.out || bail "python3 does not run"
pid=$(sed -n 's/^there //p' metrics.out)
# The second file that knows it has a sample of it as it is now.
until_true 20 grep -q "resident_bytes{pid=\"$pid\"" metrics/v.prom
rm metrics/v.prom
until_true 10 test -s metrics/v.prom
cat >read_openmetrics.py <<'END'
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(open(sys.argv[1]).read()))	# which ends in # EOF, or it fails
for f in families:
    for n in sorted({s.name for s in f.samples}):
        print(n, f.type, f.unit or "-", int(sum(s.value for s in f.samples if s.name == n)))
    if not f.samples: print(f.name + ("_total" if f.type == "counter" else ""), f.type, f.unit or "-", "none")
END
/usr/bin/python3 read_openmetrics.py metrics/v.prom >metrics.txt
metric() { sed -n "s/^$1 .* //p" metrics.txt; }
(as_nobody vmaheap report --json -p "$pid") >live.json
is "$(metric vmaheap_watched_processes) $(metric vmaheap_live_bytes) $(metric vmaheap_live_chunks)" \
	"1 $(jq -r '.spaces[0].live | "\(.bytes) \(.chunks)"' live.json)" "openmetrics: what is live"
is "$(metric vmaheap_allocations_total) $(metric vmaheap_allocated_bytes_total) $(metric vmaheap_vma_events_total)" \
	"$(jq -r '[.spaces[0].functions[] | select(.name != "free")] | "\(map(.calls - .failed) | add) \(map(.asked) | add) none"' live.json)" \
	"openmetrics: what was allocated, and that there is no module"
(as_nobody vmaheap maps --json -p "$pid") >live.json
is "$(metric vmaheap_process_resident_bytes) $(metric vmaheap_process_vmas)" "$(jq -r '.totals | "\(.resident) \(.vmas)"' live.json)" \
	"openmetrics: what is resident"
is "$(jq -r '.. | .expr? // empty' "$build/../scripts/grafana.json" | grep -oE 'vmaheap_[a-z_]+' | sort -u)" \
	"$(cut -d ' ' -f 1 metrics.txt | grep -v watched | sort -u | grep -Fxf <(jq -r '.. | .expr? // empty' "$build/../scripts/grafana.json" | grep -oE 'vmaheap_[a-z_]+'))" \
	"the dashboard asks for nothing that there is not"
# As many as a daemon watches: there is place for one who asks, and the series are bounded.
for i in {1..255}; do
	(as_nobody vmaheap record --kernel=none -o "metrics/t$i" -- sleep 1000 2>"metrics/err$i") &
done
all_watched() { [ "$( (as_nobody vmaheap top --json -n 1) | jq length)" = 256 ]; }
ok "256 processes are watched" until_true 60 all_watched
exits 125 "one more" bash -c "$(declare -f as_nobody); tmp=$tmp; as_nobody vmaheap record --kernel=none -o metrics/more -- true"
like "$(cat "$tmp/said")" 'the daemon has 256 watches, and takes no more' "is refused"
until_true 20 grep -q '^vmaheap_watched_processes 256$' metrics/v.prom
is "$(grep -oE '^vmaheap_process_vmas\{pid="[0-9]+"' metrics/v.prom | wc -l) $(grep -c '^vmaheap_process_vmas{pid="other"' metrics/v.prom)" \
	"20 1" "openmetrics: 20 have series of their own, the others one"
ok "openmetrics: less than 1,500 series" test "$(grep -vc '^#' metrics/v.prom)" -lt 1500
(as_nobody vmaheap top --json -n 1) | jq '.[].pid' | xargs kill
until_true 60 grep -q '^vmaheap_watched_processes 0$' metrics/v.prom
kill "$daemon"
wait
ok "openmetrics: the file goes with the daemon" test ! -e metrics/v.prom
}

with_module() {
# --- CTF 2
ok "ctf2" vmaheap export --format=ctf2 -o t.ctf2 t
is "$(babeltrace2 t.ctf2 | grep -E ' (malloc|calloc|realloced|alloc): ' | grep -v 'addr = 0x0 ' |
	sed 's/.* size = \([0-9]*\).*/\1/' | awk '{ n += $1 } END { print NR, n }')" "${allocs/	/ }" "ctf2: the report's totals"
same_ctf t t.ctf2

# --- Perfetto: no reader of its files is packaged, so protobuf's own by our description of them
protoc --python_out=. -I "$build/../user/export" perfetto.proto || bail "no protoc"
cat >read_perfetto.py <<'END'
import sys, perfetto_pb2
trace = perfetto_pb2.Trace.FromString(open(sys.argv[1], "rb").read())
E = perfetto_pb2.TrackEvent
tracks, open_slices, bad, clocks = {}, {}, set(), set()
calls, kernel, vmas, last, flows = [], [], 0, {}, {}
stacks = lambda calls: sum("work+" in a.string_value and "\nstart_thread+" in a.string_value for e in calls for a in e.debug_annotations if a.name == "stack")
number = lambda e, name: sum(a.uint_value for a in e.debug_annotations if a.name == name)
def path(uuid):
    t = tracks[uuid]
    own = t.name or (f"process {t.process.pid}" if t.HasField("process") else f"thread {t.thread.tid}")
    return (path(t.parent_uuid) + "/" if t.parent_uuid else "") + own
events = []
for p in trace.packet:
    if p.trusted_packet_sequence_id != 1: bad.add("sequence")
    if p.HasField("clock_snapshot"): clocks = {c.clock_id: c.timestamp for c in p.clock_snapshot.clocks}
    if p.HasField("track_descriptor"):
        t = p.track_descriptor
        if t.uuid in tracks: bad.add("told twice")
        if t.parent_uuid and t.parent_uuid not in tracks: bad.add("no parent")
        tracks[t.uuid] = t
    if p.HasField("track_event"):
        if p.track_event.track_uuid not in tracks: bad.add("no track")
        if p.timestamp_clock_id != 3: bad.add("clock")
        events.append((p.timestamp, p.track_event))
events.sort(key=lambda x: x[0])		# as trace_processor does, stable
for ts, e in events:
    depth = open_slices.setdefault(e.track_uuid, [])
    if (e.type == E.TYPE_COUNTER) != tracks[e.track_uuid].HasField("counter"): bad.add("a counter, or none")
    for f in e.flow_ids: flows.setdefault(f, []).append(e)
    if e.type == E.TYPE_SLICE_BEGIN:
        depth.append(e)
        if "malloc" in e.categories: calls.append(e)
        if "vma" in e.categories: vmas += 1
    elif e.type == E.TYPE_SLICE_END:
        if depth: depth.pop()
        else: bad.add("an end without a beginning")
    elif e.type == E.TYPE_COUNTER: last[path(e.track_uuid)] = e.counter_value
    elif "kernel" in e.categories: kernel.append((e, list(depth)))
if any(open_slices.values()): bad.add("a slice without an end")
print("bad:", " ".join(sorted(bad)))
print("clocks:", sorted(clocks))
print("stacks:", stacks(calls))
print("calls:", len(calls), "flows:", sum(len(e.flow_ids) for e in calls))
print("inside:", sum(any(e.flow_ids[0] in c.flow_ids for c in d) for e, d in kernel))
print("kernel:", len(kernel), *(sum(number(e, n) for e, _ in kernel) for n in ("mapped", "unmapped", "re-protected")))
print("arrows to VMAs:", sum("malloc" in f[0].categories and "vma" in f[-1].categories for f in flows.values()))
for name in sorted(last): print(name + ":", last[name])
END
ok "perfetto" vmaheap export --format=perfetto -o t.pftrace t
/usr/bin/python3 read_perfetto.py t.pftrace >perfetto.txt
perfetto() { sed -n "s,^$1: *,,p" perfetto.txt; }
is "$(perfetto bad)" "" "perfetto: slices nest, tracks are told before their events"
is "$(perfetto clocks)" "[1, 3]" "perfetto: the time of day"
pid=$(report .spaces[0].pid)
is "$(perfetto "process $pid/live")" "$(report .spaces[0].live.bytes)" "perfetto: what is live in the end"
if in_guest; then
	is "$(sed -n "s,^process $pid/VMA .*/live: ,,p" perfetto.txt | awk '{ n += $1 } END { print n }')" \
		"$(report .spaces[0].live.bytes)" "perfetto: each live byte lies in a VMA"
	is "$(perfetto kernel)" "$(report '.spaces[0].kernel | "\(.events) \(.mapped) \(.unmapped) \(.changed)"')" "perfetto: what the kernel did"
	is "$(perfetto calls)" "$(report '.spaces[0] | "\(.calls.to_kernel) flows: \(.kernel.in_calls)"')" "perfetto: the calls that went to the kernel"
	ok "perfetto: the stacks of allocations" test "$(perfetto stacks)" -gt 10
	is "$(perfetto inside)" "$(report .spaces[0].kernel.in_calls)" "perfetto: and what it did lies within them"
	ok "perfetto: arrows lead to VMAs" test "$(perfetto 'arrows to VMAs')" -gt 50
fi
# --- SQLite, and the views in it
ok "sqlite" vmaheap export --format=sqlite -o t.db t
sql() { sqlite3 -separator ' ' t.db "$1"; }
is "$(sql 'SELECT count(*), sum(size) FROM live')" "${live/	/ }" "sqlite: what is live in the end"
is "$(sql 'SELECT count(*), sum(size) FROM chunks')" "${allocs/	/ }" "sqlite: every allocation"
is "$(sql 'SELECT sum(size) FROM chunks WHERE died IS NOT NULL AND died >= born')" \
	"$(($(sql 'SELECT sum(size) FROM chunks') - $(sql 'SELECT sum(size) FROM live')))" "sqlite: the others have died"
if in_guest; then
	is "$(sql 'SELECT count(*), count(allocator_call), sum(mapped), sum(unmapped), sum(protected) FROM vma_events')" \
		"$(report '.spaces[0].kernel | "\(.events) \(.in_calls) \(.mapped) \(.unmapped) \(.changed)"')" "sqlite: what the kernel did"
	is "$(sql 'SELECT count(*) FROM allocator_calls')" "$(report .spaces[0].calls.to_kernel)" "sqlite: the calls that went to the kernel"
	is "$(sql 'SELECT what, events, in_calls, mapped FROM by_system_call ORDER BY what')" \
		"$(report '.spaces[0].syscalls | sort_by(.name // "stack growth")[] | "\(.name // "stack growth") \(.events) \(.in_calls) \(.mapped)"')" "sqlite: by system call"
	is "$(sql "SELECT function, symbol, count(*) FROM causes WHERE function IS NOT NULL GROUP BY function, symbol")" \
		"$(report '[.spaces[0].callers[] | {k: "\(.op) \(.caller.symbol)", n: .events}] | group_by(.k)[] | "\(.[0].k) \(map(.n) | add)"')" "sqlite: causes"
	return
fi
is "$(perfetto "process $pid/size")" "$(vmaheap maps --json t | jq .totals.size)" "perfetto: what is mapped"
is "$(sql 'SELECT sum(live_chunks), sum(live_bytes) FROM by_caller')" "${live/	/ }" "sqlite: by caller"
is "$(sql "SELECT function, calls, failed, asked, given_back FROM functions ORDER BY function")" \
	"$(report '.spaces[0].functions | sort_by(.name)[] | "\(.name) \(.calls) \(.failed) \(.asked) \(.given_back)"')" "sqlite: the functions"
is "$(sql 'SELECT count(*), sum(end - start) FROM vmas')" "$(vmaheap maps --json t | jq -r '.totals | "\(.vmas) \(.size)"')" "sqlite: the VMAs"
is "$(sql 'SELECT count(*) FROM chunks LEFT JOIN stacks USING (mm, stack) WHERE stack_text IS NULL AND stack IS NOT NULL')" 0 "sqlite: each stack is there"
like "$(sql 'SELECT DISTINCT stack_text FROM live JOIN stacks USING (mm, stack)')" '^work\+0x.* < start_thread\+0x.* < ' "sqlite: and has names"
is "$(sql "SELECT value FROM about WHERE key = 'start_monotonic'")" "$(report .start)" "sqlite: when it began"
# The manual's questions have answers.
sed -n '/^\.SS Questions in SQL/,/^\.SS Parquet/p' "$build/../user/vmaheap-export.1" | sed -n '/^\.RS/,/^\.RE/p' | sed 's/^\.RS.*//; s/\\-/-/g; /^\.RE/d' >questions.sql
is "$(grep -c '^SELECT' questions.sql)" 5 "sqlite: questions in the manual"
is "$(sqlite3 t.db <questions.sql 2>&1 >answers | grep .)" "" "sqlite: can be asked"
}

in_guest || on_host
with_module

done_testing
