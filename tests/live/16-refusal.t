#!/bin/bash
# A kernel that lacks a hook point is refused with a sentence that names it. The kernels here lack
# none, so a build of the module for this test (make module-test) looks for one in vain. And a kernel
# whose hooks have been switched off, where nothing would be seen of what is watched.
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

# --- what the administrator may switch off

client=build/tests/live/modclient
armed() { sed -n 's/^hooks armed: //p' /proc/vmaheap/status; }
sleep 1000 &
sleeper=$!
mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug

if echo 0 >/proc/sys/kernel/ftrace_enabled; then
	said=$($client try watch $sleeper 0)
	like "$said" "^EOPNOTSUPP: kernel.ftrace_enabled is 0" "no ftrace: refused, by its name"
	is "$(armed)" 0 "no ftrace: nothing is armed"
	exits 1 "no ftrace: +PID is refused" sh -c "echo +$sleeper >/proc/vmaheap/watched"
	echo 1 >/proc/sys/kernel/ftrace_enabled
else # EOPNOTSUPP in 7.3
	is "$(cat /proc/sys/kernel/ftrace_enabled)" 1 "ftrace cannot be switched off"
fi 2>"$tmp/said"

echo 0 >/sys/kernel/debug/kprobes/enabled
said=$($client try watch $sleeper 0)
like "$said" "^EOPNOTSUPP: kprobes are switched off" "no kprobes: refused, by its name"
is "$(armed)" 0 "no kprobes: nothing is armed"
echo 1 >/sys/kernel/debug/kprobes/enabled

ok "with both of them: exact" timeout 200 $client run -i 30 -- build/tests/victims/mm_storm 2 100
ok "a watch begins" sh -c "echo +$sleeper >/proc/vmaheap/watched"
exits 1 "ftrace cannot be switched off then" sh -c "echo 0 >/proc/sys/kernel/ftrace_enabled"
kill $sleeper
rmmod vmaheap
load
is "$(dmesg | grep -cE 'BUG|WARNING|Oops')" 0 "the kernel has nothing to complain of"
done_testing
