#!/bin/bash
# The machine itself: what every other live test takes for granted.
set -u
. "$(dirname "$0")/lib.sh"

is "$(id -u)" 0 "root"
like "$(uname -r)" '^[0-9]+\.[0-9]+' "a kernel: $(uname -r)"
is "$(findmnt -no FSTYPE /)" overlay "the file tree lies below a scratch layer"
ok "this script comes from the host's tree" test -r "$0"
ok "the tree can be written" touch "$(dirname "$0")/scratch" /usr/scratch
for fs in proc sysfs devtmpfs devpts tmpfs tracefs debugfs securityfs bpf cgroup2; do
	ok "$fs is mounted" grep -q " $fs " /proc/mounts
done
ok "/dev/shm is for all" test -k /dev/shm -a -w /dev/shm
ok "a pseudo terminal" script -qec true /dev/null
like "$(ip -br link show lo)" 'LOOPBACK,UP' "lo is up"
ok "\$OUT goes to the host" findmnt -t virtiofs "$OUT"
ok "a file in \$OUT" sh -c 'echo "from the guest" >"$OUT/00-vm" && grep -q guest "$OUT/00-vm" && rm "$OUT/00-vm"'
ok "build/ is on PATH" sh -c 'case :$PATH: in *"/build:"*) ;; *) exit 1 ;; esac'
like "${VMAHEAP_KO-}" '/vmaheap\.ko$' "\$VMAHEAP_KO names the module"
is "$(cat /proc/sys/kernel/panic_on_warn /proc/sys/kernel/panic_on_oops /proc/sys/kernel/softlockup_panic \
	/proc/sys/kernel/hung_task_panic | tr '\n' ' ')" "1 1 1 1 " "what the kernel complains of ends the run"
is "$(cat /proc/sys/kernel/tainted)" 0 "the kernel is clean"
ok "modprobe finds the kernel's modules" modprobe -n dummy
ok "BTF" test -s /sys/kernel/btf/vmlinux

# The kernel's text can be patched under load (QEMU 7.2 dies of it).
cd /sys/kernel/tracing || bail "no tracefs"
ok "a kprobe" sh -c 'echo "p:vm_test do_mmap" >>kprobe_events && echo 1 >events/kprobes/vm_test/enable'
/bin/true
like "$(cat trace)" 'vm_test' "the kprobe was hit"
ok "the kprobe goes" sh -c 'echo 0 >events/kprobes/vm_test/enable && echo "-:vm_test" >>kprobe_events'
cd / || exit

for p in python3 sqlite3 perl git gcc strace; do # the real programs of the other tests
	ok "$p runs" "$p" --version
done
done_testing
