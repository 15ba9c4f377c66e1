#!/bin/bash
# Each format of `vmaheap export`, opened by a reader that is not ours: with the same totals as
# `report --json`. In the guest with the module; run on a host, without.
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
vmaheap record "${kernel[@]}" --stacks -f -o t -- "$build/tests/victims/causes" 20 >truth 2>err
is $? 0 "exit status"
vmaheap report --json t >report.json
report() { jq -r "$1" report.json; }
live=$(report '[.spaces[].live | .chunks, .bytes] | @tsv')
allocs=$(report '[[.spaces[].functions[] | select(.name != "free")] | (map(.calls - .failed) | add), (map(.asked) | add)] | @tsv')
is "$(report '.spaces | length')" 1 "one address space"

# --- what is asked for wrongly
exits 125 "no format" vmaheap export t
exits 125 "an unknown format" vmaheap export --format=word t
like "$(cat "$tmp/said")" '--format=word: it is one of pprof, ' "is told which there are"
exits 125 "a file that cannot be" vmaheap export --format=pprof -o /nonexistent/file t
like "$(cat "$tmp/said")" '/nonexistent/file: No such file' "is refused"

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

# --- a process that stands still, half of whose memory was never touched
vmaheap record "${kernel[@]}" -o live -- python3 -c 'import os, time
x = [bytes([i % 250 + 1]) * 9000 for i in range(100)]; y = bytes(8 << 20)
print("there", os.getpid(), flush=True); time.sleep(600)' >live.out 2>live.err &
until_true 30 grep -q there live.out || bail "python3 does not run"
pid=$(sed -n 's/^there //p' live.out)
ok "pprof: of a process" vmaheap export --format=pprof -o live.pb.gz -p "$pid"
vmaheap maps --json -p "$pid" >live.json
is "$(profile live.pb.gz sums)" "$(jq -r '.totals | "inuse_objects/count \(.chunks)", "inuse_space/bytes \(.live_size)",
	"resident_space/bytes \(.live)", "untouched_space/bytes \(.live_size - .live)"' live.json)" "pprof: what of the live bytes is resident"
ok "pprof: much is not" test "$(jq .totals.live live.json)" -lt "$(jq '.totals.live_size - 4000000' live.json)"
is "$(vmaheap export --format=folded -p "$pid" | awk '{ n += $NF } END { print n }')" "$(jq .totals.live_size live.json)" "folded: of a process"
kill "$pid"
wait "$!"

done_testing
