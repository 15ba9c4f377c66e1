#!/bin/bash
# Calls that fail are counted by their error, ENOMEM also by its reason: what the victim says, the
# trace, the live report and the module's own status agree.
set -u
. "$(dirname "$0")/lib.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
echo 1000 >/proc/sys/vm/max_map_count
load
cd "$tmp" || bail "no $tmp"

vmaheap record --alloc=none -o failing -- failing >failing.truth 2>failing.err ||
	fail "record ended with $?: $(cat failing.err)"
like "$(cat failing.err)" 'lost: 0,' "nothing lost"
is "$(grep -c ' 0$' failing.truth)" 0 "each call failed as it should"
# Before main() the dynamic linker may fail too; it is not the victim's to count.
vmaheap script --json failing >failing.json
is "$(jq -r 'select(.kind == "failed") | "\(.syscall) \(.error) \(.reason)"' failing.json | sort | uniq -c | awk '{ print $2, $3, $4, $1 }')" \
	"$(sed -n 's/^failed //p' failing.truth | sort)" "script: each of them, with its error and the reason"
is "$(vmaheap report --json failing | jq -r '.spaces[].failed[] | "\(.syscall) \(.error) \(.reason) \(.calls)"' | sort)" \
	"$(sed -n 's/^failed //p' failing.truth | sort)" "report: the same counts"
like "$(vmaheap report failing)" '^mmap +ENOMEM +5 +vm.max_map_count' "in words"
like "$(vmaheap script failing)" 'mmap\(NULL, 4096, .*failed: ENOMEM, vm.max_map_count \(10[0-9]* VMAs\)' "script: in words"
count() { awk -v e="$1" '$3 == e { n += $5 } END { print n + 0 }' failing.truth; }
for error in ENOMEM EINVAL EEXIST; do
	is "$(sed -n "s/^failed -$error: //p" /proc/vmaheap/status)" "$(count $error)" "status: $error"
done
is "$(sed -n 's/^failed for //p' /proc/vmaheap/status | xargs)" \
	"max_map_count: 6 RLIMIT_AS: 5 RLIMIT_DATA: 2" "status: the reasons of ENOMEM"

# Who is not watched does not count.
before=$(grep ^failed /proc/vmaheap/status)
sleep 1000 &
echo +$! >/proc/vmaheap/watched
like "$(cat /proc/vmaheap/status)" 'calls probed for failure: 13 of 13' "all calls are probed"
failing >/dev/null
is "$(grep ^failed /proc/vmaheap/status)" "$before" "calls of others are not counted"
kill $!
rmmod vmaheap
is "$(dmesg | grep -cE 'BUG|WARNING|Oops')" 0 "the kernel has nothing to complain of"
done_testing
