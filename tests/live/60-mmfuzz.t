#!/bin/bash
# Everything that changes an address space, at random: the model is exact at every checkpoint.
# VMAHEAP_FUZZ_OPS: how much (make fuzz: a million), VMAHEAP_FUZZ_SEED: the first of the seeds.
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fuzz.sh"

ops=${VMAHEAP_FUZZ_OPS:-24000}
seed=${VMAHEAP_FUZZ_SEED:-}
seed=${seed:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
piece=100000 # then a new session: its trace and its model lie in memory
round=200 # of each thread between two checkpoints
[ "$ops" -le $piece ] || round=500
declare -A sum=([operations]=0 [checks]=0 [vmas]=0 [mismatches]=0 [missing]=0 [left]=0 [unexpected]=0 [never]=0
	[map_count]=0 [lost]=0 [madvises]=0 [madvise]=0 [spaces]=0 [runs]=0)

fuzz_machine
load buffer_kib=1024 # for calls that fail and madvise: ranges merge when a busy machine lets the daemon wait, these do not
until [ ${sum[operations]} -ge "$ops" ]; do
	rest=$((ops - sum[operations]))
	fuzz_seconds=1800 fuzz --seed $((seed + sum[runs])) --round $round --ops $((rest < piece ? rest : piece))
	[ ${sum[runs]} -gt 0 ] || diag "$(grep '^unavailable' "$tmp/fuzz")"
	if [ "${figure[status]}" != 0 ] || [ -z "${figure[operations]-}" ]; then
		diag "seed $((seed + sum[runs])): status ${figure[status]}"
		[ -z "${OUT-}" ] || cp "$tmp"/core.* "$OUT"
		diag "$(tail -n 120 "$tmp/fuzz")"
	fi
	for key in "${!sum[@]}"; do
		sum[$key]=$((sum[$key] + ${figure[$key]-0}))
	done
	sum[runs]=$((sum[runs] + 1))
	[ -n "${figure[operations]-}" ] || break
	[ "${figure[lost]-0}" = 0 ] || diag "seed $((seed + sum[runs] - 1)): lost: $(vmaheap report --json "$tmp/trace" | jq -c .lost)
$(vmaheap script "$tmp/trace" | grep -iE 'lost|invalid' | head -n 5)"
	# Never more calls told than made: of process_madvise it is not known how many got that far.
	[ "${figure[madvise]}" -ge "${figure[madvises]}" ] || diag "madvise: ${figure[madvises]} calls, ${figure[madvise]} told"
	[ "$ops" -le $piece ] || diag "seed $((seed + sum[runs] - 1)): ${sum[operations]} operations, ${sum[checks]} checks, ${sum[mismatches]} mismatches, $SECONDS s"
done
[ "$ops" -gt $piece ] || diag "$(grep -E 'done|refused' "$tmp/fuzz")"
diag "fuzz: ${sum[operations]} operations, ${sum[checks]} checks, ${sum[vmas]} VMAs compared, ${sum[mismatches]} mismatches, seed $seed, $(uname -r)"

ok "$ops operations" test ${sum[operations]} -ge "$ops"
ok "compared at every checkpoint" test ${sum[checks]} -ge $((ops / 2 / round)) -a ${sum[vmas]} -gt ${sum[checks]}
is ${sum[mismatches]} 0 "no VMA differs from /proc/PID/maps"
is ${sum[map_count]} 0 "after each record the model has as many VMAs as the kernel"
is ${sum[missing]} 0 "the daemon knows each process: forked, cloned, exec'ed"
is ${sum[left]} 0 "and forgets each that has ended"
is "${sum[unexpected]} ${sum[never]}" "0 0" "children end as they should, what is available is done"
is ${sum[lost]} 0 "nothing is lost"
ok "each madvise is told" test ${sum[madvise]} -ge ${sum[madvises]} -a ${sum[madvises]} -gt 0
rmmod vmaheap
is "$(dmesg | grep -cE 'BUG|WARNING|Oops')" 0 "the kernel has nothing to complain of"
done_testing
