#!/bin/bash
# Real programs under `record --verify`: the model equals /proc/PID/maps at every stop, nothing is
# lost, the trace is what babeltrace2 reads, and the program does not notice.
set -u
. "$(dirname "$0")/lib.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
load
cd "$tmp" || bail "no $tmp"
repo=$(cd "$OLDPWD" && cd "$(dirname "$0")/../.." && pwd)

# What a page is made of; its points in time, cells and events, each added up, must be what report and maps say.
data() { sed -n 's,.*<script type="application/json" id="data">\(.*\)</script>$,\1,p' "$1"; }
sums='[.processes[] | [([.time.events[].n[]] | add // 0), .report.kernel.events],
	[([.time.events[].mapped] | add // 0), .report.kernel.mapped], [([.time.events[].unmapped] | add // 0), .report.kernel.unmapped],
	[([.time.size[][-1]] | add) + .time.reserve[-1], .totals.size], [.time.live[-1], .report.live.bytes],
	[.time.peak.bytes, .report.live.peak],
	[([.heap.regions[].cells[]] | add // 0) + .heap.mapped.live + .heap.more.live, .report.live.bytes]]'

# record NAME OPTIONS... -- COMMAND...
record() {
	local name=$1 status=0 said plain
	shift
	VMAHEAP_KO= vmaheap record --verify=20 -o "$name" "$@" >"$name.out" 2>"$name.err" || status=$?
	said=$(cat "$name.err")
	is $status 0 "$name: exit status"
	like "$said" 'verify: [1-9][0-9]* checks, [1-9][0-9]* VMAs compared, 0 mismatches' "$name: 0 mismatches"
	like "$said" '^events: [1-9][0-9]* .* lost: 0,' "$name: nothing lost"
	unlike "$said" 'mismatch in|refused|cut off' "$name: nothing odd"
	if [ "$(sed -n 's/^events: \([0-9]*\) .*/\1/p' "$name.err")" -lt 500000 ]; then # a minute in this guest
		plain=$(vmaheap script "$name" | wc -l)
		is "$(babeltrace2 "$name" 2>"$name.bt" | grep -Evc '\) (build_id|stack): ')" "$plain" "$name: babeltrace2 and script count the same events"
		is "$(cat "$name.bt")" "" "$name: babeltrace2 has nothing to complain of"
	fi
	vmaheap report "$name" >"$name.report" || fail "$name: report"
	unlike "$(cat "$name.report")" 'frees of what was not live|freed unseen' "$name: every free has its malloc"
	vmaheap report --html "$name.html" "$name" || fail "$name: report --html"
	is "$(data "$name.html" | jq -c "$sums | [.[] | select(.[0] != .[1])]")" "[]" "$name: the sums of its page"
	diag "$name: $(grep -E '^(verify|events)' "$name.err" | tr '\n' ' ')"
}

record python3 -- env PYTHONMALLOC=malloc python3 -c '
import json
rows = [{"id": i, "name": "row %d" % i, "tags": ["a", "b", str(i)]} for i in range(1000)]
text = json.dumps(rows)
assert json.loads(text)[17]["id"] == 17
big = [bytearray(1 << 20) for i in range(8)]
print(len(text))'
is "$(cat python3.out)" 58670 "python3: its output"

record sqlite3 -- sqlite3 :memory: "create table t(a integer primary key, b text);
insert into t with recursive c(x) as (select 1 union all select x + 1 from c where x < 8000)
  select x, hex(randomblob(40)) from c;
create index i on t(b); select count(*), max(a) from t; delete from t where a % 2; vacuum;"
is "$(cat sqlite3.out)" "8000|8000" "sqlite3: its output"

record perl -- perl -e 'my %h; $h{$_ % 5000} .= "x" x ($_ % 300) for 1 .. 40000;
my @w = sort map { length } values %h; print scalar(@w), "\n"; undef %h; my $s = "y" x (5 << 20); print length $s, "\n"'
is "$(tr '\n' ' ' <perl.out)" "5000 5242880 " "perl: its output"

git init -q repo && (cd repo && cp -r "$repo/user" "$repo/kmod" . && git add . &&
	git -c user.name=t -c user.email=t@t commit -qm one) || bail "git"
record git -f -- git -C repo log -p --stat
like "$(head -n 1 git.out)" '^commit ' "git: its output"

perl -e 'for $i (0 .. 400) { print "struct s$i { int a[4]; struct s$i *n; };\n",
	"int f$i(struct s$i *p, int k) { int r = 0; for (; p; p = p->n) { switch (k & 3) {",
	"case 0: r += p->a[k & 3]; break; case 1: r ^= p->a[0] * k; break; default: r -= $i; } }",
	" return r; }\n" }' >large.c
record gcc -f -- gcc -O1 -c large.c -o large.o
ok "gcc: its output" nm large.o
done_testing
