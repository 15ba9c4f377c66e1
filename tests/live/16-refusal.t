#!/bin/bash
# A kernel that lacks a hook point is refused with a sentence that names it. The kernels here lack
# none, so a build of the module for this test (make module-test) looks for one in vain.
. "$(dirname "$0")/lib.sh"

test_ko=$(dirname "${VMAHEAP_KO:?}")-test/vmaheap.ko
like "$(modinfo "$test_ko")" '^parm: *missing:' "the module for this test can miss a hook point"
unlike "$(modinfo "$VMAHEAP_KO")" '^parm: *missing:' "the real one cannot"

load
hooks=$(sed -n 's/^hook \([a-z_0-9]*\):.*/\1/p' /proc/vmaheap/status)
rmmod vmaheap
ok "the module names its hook points" test "$(wc -w <<<"$hooks")" -ge 8
for hook in $hooks; do
	dmesg -C
	exits 1 "without $hook: not loaded" insmod "$test_ko" missing="$hook"
	like "$(cat "$tmp/said")" 'Operation not supported' "without $hook: EOPNOTSUPP"
	like "$(dmesg)" "vmaheap: this kernel has no $hook that could be hooked\$" "without $hook: the sentence"
	ok "without $hook: nothing is left" test ! -e /proc/vmaheap -a ! -e /sys/module/vmaheap
done
insmod "$test_ko" || bail "the module for this test does not load"
ok "with all of them it loads" test -e /proc/vmaheap/status
rmmod vmaheap
load
is "$(dmesg | grep -cE 'BUG|WARNING|Oops')" 0 "the kernel has nothing to complain of"
done_testing
