#!/bin/bash
# diff: two moments of a run, and two runs. What grew is what the program says, and all sums are those
# of maps and report.
set -u
. "$(dirname "$0")/lib.sh"

load
cd "$tmp" || bail "no $tmp"
cat >grow.py <<'END'
import sys
first = bytearray(1000003)
between = [bytearray(300007)] # mapped: so what comes next has another stamp
more = [bytes(9000) for i in range(int(sys.argv[1]))]
second = bytearray(2000033)
between.append(bytearray(400007))
END
for n in 500 700; do
	vmaheap record -o run$n -- /usr/bin/python3 -I -S grow.py $n 2>err || bail "$(cat err)"
done
moment() { awk -v call="$2) =" 'index($0, call) { print $1; exit }' "$1"; }
vmaheap script run500 >events500
vmaheap script run700 >events700
t1=$(moment events500 1000004)
t2=$(moment events500 2000034)
u2=$(moment events700 2000034)
like "$t1 $t2 $u2" '^[0-9.]+ [0-9.]+ [0-9.]+$' "the moments of the allocations"

# sums DIR@A DIR@B NAME: of the diff in `json`, against maps
sums() {
	local side from=$1
	for side in a b; do
		is "$(jq -c ".total.$side | [.vmas, .size, .live, .chunks]" json)" \
			"$(vmaheap maps --json --at "${from#*@}" "${from%@*}" | jq -c '.totals | [.vmas, .size, .live_size, .chunks]')" "$3: side $side is what maps says"
		is "$(jq -c "[([.memory[].$side.size] | add), ([.memory[].$side.vmas] | add), ([.sites[].$side.live] | add), ([.sites[].$side.chunks] | add)]" json)" \
			"$(jq -c ".total.$side | [.size, .vmas, .live, .chunks]" json)" "$3: side $side, the rows are all of it"
		from=$2
	done
	is "$(jq -c '[([.memory[].growth.size] | add), ([.sites[].growth.live] | add)]' json)" \
		"$(jq -c '.total | [.b.size - .a.size, .b.live - .a.live]' json)" "$3: growth is B less A"
}
vmaheap diff --json "run500@$t1" "run500@$t2" >json || bail "diff fails"
sums "run500@$t1" "run500@$t2" "two moments"
is "$(jq -c '[.sites[] | select(.growth.chunks == 500 and .growth.live == 500 * 9033)] | length' json)" 1 "500 times 9033 bytes came from one place"
is "$(jq -c '[.memory[] | select(.kind == "heap")][0].growth | .size > 4000000' json)" true "and the heap grew for them"
like "$(vmaheap diff "run500@$t1" "run500@$t2")" '^ *[0-9.]+ +[0-9.]+ +\+44[0-9.]+ +\+500 ' "in words"

vmaheap diff --json "run500@$t2" "run700@$u2" >json || bail "diff fails"
sums "run500@$t2" "run700@$u2" "two runs"
is "$(jq -c '.sites[0].growth | [.chunks, .live]' json)" "[200,$((200 * 9033))]" "200 more in the other run, in spite of other addresses"
is "$(jq '([.sites[] | select(.a.chunks > 0 and .b.chunks > 0)] | length) * 10 > (.sites | length) * 9' json)" true "nine tenths of the places are in both"
is "$(jq -c '[.memory[] | select(.kind == "file" and (.a.vmas == 0 or .b.vmas == 0))] | length' json)" 0 "and all files"
is "$(vmaheap diff --json run500 run500 | jq -c '[.memory[].growth[], .sites[].growth[], .total.growth.size] | map(select(. != null)) | unique')" '[0]' \
	"nothing grew of what is the same"
mkdir odd@1
cp -r run500 odd@1/t@5
ok "a name with @ in it" vmaheap diff odd@1/t@5 "odd@1/t@5@$t1"
exits 125 "a trace that is none" vmaheap diff run500 no
exits 125 "no time" vmaheap diff run500@x run500
exits 125 "a process that is not in it" vmaheap diff -p 1 run500 run500
exits 125 "one alone" vmaheap diff run500
done_testing
