#!/bin/bash
# The module alone, read by a client that shares nothing with the daemon: refuses what it must, is
# exact at every checkpoint, loses nothing.
. "$(dirname "$0")/lib.sh"

client=build/tests/live/modclient
storm=build/tests/victims/mm_storm
status() { sed -n "s/^$1: //p" /proc/vmaheap/status; }
figures() { cp "$tmp/said" "$tmp/figures"; diag "$(grep '^# ' "$tmp/figures")"; }
figure() { sed -n "s/.*\b$1=\([0-9]*\).*/\1/p" "$tmp/figures" | tail -n 1; }
zero() { [ "$(status "$1")" = 0 ]; }

load
is "$(status sessions) $(status processes) $(status 'hooks armed')" "0 0 0" "loaded: nothing is watched or hooked"
is "$(stat -c %a /proc/vmaheap/status /proc/vmaheap/watched /proc/vmaheap/events /proc/vmaheap/stamp | xargs)" \
	"444 600 400 600" "modes of /proc/vmaheap"

# --- refusals

refused() { # ERRNO WORDS NAME ARGS: the errno and the sentence
	local wanted=$1 words=$2 name=$3 said
	shift 3
	said=$($client try "$@")
	like "$said" "^$wanted: .*$words" "$name"
}
$storm 1 0 & wait $!
gone=$!
sleep 1000 &
sleeper=$!
refused ESRCH "no process" "a PID that is none" watch $gone 0
refused ESRCH "no address space" "a kernel thread" watch 2 0
refused EEXIST "already" "the same process twice" twice $sleeper 0
refused EINVAL "unknown flag" "an unknown flag" watch $sleeper 16
refused ENOTCONN "no netlink socket" "a port that is none" watch $sleeper 0 4000000000
refused EINVAL "VMAHEAP_A_PORT" "no port" noport $sleeper 0
refused EINVAL "" "an attribute that the request does not take" junk $sleeper 0
refused ENOENT "watches nothing" "unwatch of a port that watches nothing" unwatch $sleeper 0
python3 -c 'import threading, time
t = threading.Thread(target=time.sleep, args=(1000,), daemon=True); t.start()
print(t.native_id, flush=True); time.sleep(1000)' >"$tmp/tid" &
python=$!
until_true 10 test -s "$tmp/tid"
refused EINVAL "is a thread" "a thread" watch "$(cat "$tmp/tid")" 0
kill $python

cp $client "$tmp/modclient"
chmod 755 "$tmp" "$tmp/modclient"
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
for request in watch sync stats; do
	like "$(as_nobody "$tmp/modclient" try $request $sleeper 0)" "^EPERM: CAP_SYS_PTRACE" "$request without privilege"
done
exits 1 "watched cannot be opened without privilege" as_nobody cat /proc/vmaheap/watched
exits 1 "events cannot be opened without privilege" as_nobody cat /proc/vmaheap/events
ok "status can be read without privilege" as_nobody cat /proc/vmaheap/status
# root by uid, but without the capability: the mode lets it pass, the open does not
exits 1 "stamp wants the capability, not the uid" \
	setpriv --bounding-set -sys_ptrace --inh-caps -sys_ptrace cat /proc/vmaheap/stamp
ok "nothing is left of refused watches" until_true 10 zero sessions
ok "the hooks are disarmed" until_true 10 zero "hooks armed"

# --- exactness

ok "4 threads, forks, vforks and execs: exact at every checkpoint" timeout 600 $client run -i 30 -- $storm 4 1200
figures
ok "more than 20 checks, none in vain" test "$(figure checks)" -gt 20
is "$(figure lost) $(figure lost_madvise)" "0 0" "nothing is lost"
ok "snapshots were asked for" test "$(figure snapshots)" -gt 5
exits 1 "a reader that forgets one RANGE in 50 is found out" timeout 600 $client run -f 50 -i 30 -- $storm 4 1200
diag "$(grep checks= "$tmp/said")"
like "$(cat "$tmp/said")" "mismatches=[1-9]" "by a mismatch"
ok "forks and execs were followed" test "$(figure forks)" -gt 0 -a "$(figure execs)" -gt 1
ok "the session and its hooks are gone" until_true 10 zero "hooks armed"

ok "a receive buffer of 4 KiB and a slow reader: exact" timeout 600 $client run -b 4096 -i 100 -- $storm 4 600
figures
ok "the receiver was full" test "$(figure retries)" -gt 0

is "$(figure lost)" 0 "no child, exec or file is lost"

rmmod vmaheap
load buffer_kib=64
ok "a ring of 64 KiB and a slow reader: exact" timeout 600 $client run -b 4096 -i 1000 -- $storm 4 4000
figures
# Whether some are told late depends on who comes first, the worker or the next release of the lock.
ok "write sections were merged, and counted" test "$(figure coalesced)" -gt 0
rmmod vmaheap
load

ok "a shell, python and gcc" timeout 600 $client run -i 50 -- \
	sh -c 'python3 -c "import json, ctypes; x = [bytearray(1 << n) for n in range(22)]"; gcc -O2 -c -o /dev/null tests/live/modclient.c -Ikmod'
figures
ok "watched from its exec on" timeout 600 $client run -x -i 20 -- sh -c '/bin/true; python3 -c pass'
figures

# --- the stamp page

# Room for all of its records: a call whose record was merged into a later one has none inside.
rmmod vmaheap
load buffer_kib=8192
exits 1 "the stamp of a process that is not watched" build/tests/victims/mm_stamp 3</proc/vmaheap/stamp
ok "stamps before and after each call enclose its records, and no others" \
	timeout 600 $client run -i 100 -s "$tmp/stamps" -- build/tests/victims/mm_stamp
figures
until_true 10 zero "stamps mapped"
is "$(status "stamps mapped")" 0 "no stamp page is left"
kill -9 $sleeper
rmmod vmaheap
is "$(dmesg | grep -cE 'BUG|WARNING|Oops')" 0 "the kernel has nothing to complain of"
done_testing
