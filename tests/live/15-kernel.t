#!/bin/bash
# The whole way on this kernel, in short: the module loads, is exact under a storm and with a real
# program, and unloads without a trace.  tests/kernels reads the figures.
. "$(dirname "$0")/lib.sh"

diag "kernel: $(uname -r)"
ok "loads" insmod "${VMAHEAP_KO:?}"
status() { sed -n "s/^$1: //p" /proc/vmaheap/status; }
zero() { [ "$(status "$1")" = 0 ]; }

ok "2 threads, forks, vforks and execs: exact at every checkpoint" timeout 200 \
	build/tests/live/modclient run -i 30 -- build/tests/victims/mm_storm 2 300
diag "$(grep '^# ' "$tmp/said")"

exits 0 "a program in python, recorded and compared" timeout 200 vmaheap record -f --verify=20 -o "$tmp/trace" -- \
	sh -c 'env PYTHONMALLOC=malloc python3 -c "import json; print(len(json.dumps([bytearray(1 << n).hex() for n in range(18)])))"; /bin/true'
said=$(cat "$tmp/said")
like "$said" '^524358$' "what it says"
like "$said" 'verify: [1-9][0-9]* checks, [1-9][0-9]* VMAs compared, 0 mismatches' "0 mismatches"
like "$said" '^events: [1-9][0-9]* .* lost: 0,' "nothing lost"
diag "$(grep -E '^(verify|events)' "$tmp/said")"

# Watched again, after a vfork child was all that held its address space: it ends with its owner. (The
# child waits in open(), before its exec.)
mkfifo "$tmp/go" "$tmp/spawn"
python3 - "$tmp" <<-'END' &
	import os, sys
	open(sys.argv[1] + "/go").read()
	os.waitpid(os.posix_spawn("/bin/true", ["true"], {}, file_actions=[
		(os.POSIX_SPAWN_OPEN, 0, sys.argv[1] + "/spawn", os.O_RDONLY, 0)]), 0)
END
owner=$!
events() { grep -a " $1" /proc/vmaheap/events; }
say() { echo "$1" >/proc/vmaheap/watched; }
ok "+PID" say "+$owner"
: >"$tmp/go"
ok "its vfork child joins" until_true 20 events 'process [0-9]* joins'
ok "-PID and +PID" eval 'say "-$owner" && say "+$owner"'
: >"$tmp/spawn"
ok "it ends" wait $owner
ok "and its end is told" until_true 10 events "$owner/$owner exit status 0x0"
space=$(sed -n "s/.* \(mm[0-9]*\) new: attach, process $owner .*/\1/p" /proc/vmaheap/events)
ok "with that of its address space" events "$space .*gone"

ok "disarms the hooks" until_true 20 zero "hooks armed"
ok "unloads" rmmod vmaheap
is "$(dmesg | grep -cE 'BUG|WARNING|Oops')" 0 "the kernel has nothing to complain of"
is "$(cat /proc/sys/kernel/tainted)" 12288 "no taint but that of a module from outside"
done_testing
