#!/bin/bash
# The module alone, read by a client that shares nothing with the daemon: exact, refuses what it
# must, loses nothing, goes away at any time.
. "$(dirname "$0")/lib.sh"

client=build/tests/live/modclient
storm=build/tests/victims/mm_storm
status() { sed -n "s/^$1: //p" /proc/vmaheap/status; }
figures() { cp "$tmp/said" "$tmp/figures"; diag "$(grep '^# ' "$tmp/figures")"; }
figure() { sed -n "s/.*\b$1=\([0-9]*\).*/\1/p" "$tmp/figures" | tail -n 1; }
zero() { [ "$(status "$1")" = 0 ]; }
above() { [ "$(status "$1")" -gt 0 ]; }

load
is "$(status sessions) $(status processes) $(status 'hooks armed')" "0 0 0" "loaded: nothing is watched or hooked"
is "$(stat -c %a /proc/vmaheap/status /proc/vmaheap/watched /proc/vmaheap/events /proc/vmaheap/stamp | xargs)" \
	"444 600 400 400" "modes of /proc/vmaheap"

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
refused EINVAL "unknown flag" "an unknown flag" watch $sleeper 8
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

ok "4 threads, forks, vforks and execs: exact at every checkpoint" timeout 200 $client run -i 30 -- $storm 4 1500
figures
ok "more than 20 checks, none in vain" test "$(figure checks)" -gt 20
is "$(figure lost) $(figure lost_madvise)" "0 0" "nothing is lost"
ok "forks and execs were followed" test "$(figure forks)" -gt 0 -a "$(figure execs)" -gt 1
ok "the session and its hooks are gone" until_true 10 zero "hooks armed"

ok "a receive buffer of 4 KiB and a slow reader: exact" timeout 200 $client run -b 4096 -i 100 -- $storm 4 1000
figures
ok "the receiver was full" test "$(figure retries)" -gt 0

is "$(figure lost)" 0 "no child, exec or file is lost"

rmmod vmaheap
load buffer_kib=64
ok "a ring of 64 KiB and a slow reader: exact" timeout 280 $client run -b 4096 -i 300 -- $storm 4 2000
figures
ok "write sections were merged, and counted" test "$(figure coalesced)" -gt 0 -a "$(figure late)" -gt 0
rmmod vmaheap
load

ok "a shell, python and gcc" timeout 200 $client run -i 50 -- \
	sh -c 'python3 -c "import json, ctypes; x = [bytearray(1 << n) for n in range(22)]"; gcc -O2 -c -o /dev/null tests/live/modclient.c -Ikmod'
figures
ok "watched from its exec on" timeout 60 $client run -x -i 20 -- sh -c '/bin/true; python3 -c pass'
figures

# --- the stamp page

exits 1 "the stamp of a process that is not watched" build/tests/victims/mm_stamp 3</proc/vmaheap/stamp
ok "stamps before and after each call enclose its records, and no others" \
	timeout 200 $client run -i 100 -s "$tmp/stamps" -- build/tests/victims/mm_stamp
figures
until_true 10 zero "stamps mapped"
is "$(status "stamps mapped")" 0 "no stamp page is left"

# --- ends

$client hold $sleeper >"$tmp/held" &
held=$!
until_true 10 grep -q watching "$tmp/held"
is "$(status processes)" 1 "one process is watched"
{ kill -9 $held && wait $held; } 2>/dev/null
ok "SIGKILL of the reader ends the watch" until_true 10 zero sessions
ok "and disarms the hooks" until_true 10 zero "hooks armed"
ok "and the target lives" kill -0 $sleeper

$storm 4 100000 &
load1=$!
$client hold $load1 >"$tmp/held2" &
held=$!
until_true 10 grep -q watching "$tmp/held2"
ok "rmmod while a target runs and a reader listens" rmmod vmaheap
ok "the target goes on" kill -0 $load1
{ kill -9 $held && wait $held; } 2>/dev/null

cycles() {
	local i c
	for i in $(seq 20); do
		insmod "$VMAHEAP_KO" || return
		$client hold $load1 >"$tmp/held3" &
		c=$!
		until_true 10 grep -q watching "$tmp/held3" || return
		[ $((i % 2)) = 0 ] || { kill -9 $c; wait $c; } 2>/dev/null
		rmmod vmaheap || return
		{ kill -9 $c; wait $c; } 2>/dev/null
	done
	kill -0 $load1
}
ok "20 times insmod, watch, rmmod under load" cycles

# --- /proc/vmaheap

load
watched() { cat /proc/vmaheap/watched; }
say() { echo "$1" >/proc/vmaheap/watched; }
: >"$tmp/go"
sh -c 'while [ ! -e "$0/stop" ]; do [ ! -e "$0/run" ] || { /bin/true; rm "$0/run"; }; sleep 0.05; done' "$tmp" &
shell=$!
ok "+PID" say "+$shell"
like "$(watched)" "^$shell sh vmas=[0-9]+ sessions=1" "watched has a line for it"
exits 1 "+PID again is refused" say "+$shell"
exits 1 "+PID of nobody is refused" say "+$gone"
exits 1 "-PID of what is not watched is refused" say "-$sleeper"
exits 1 "nonsense is refused" say "x"
ok "events shows the attach" grep -q "new: attach, process $shell" /proc/vmaheap/events
: >"$tmp/run"
ok "events shows a fork, an exec and an exit" until_true 20 sh -c \
	'cat /proc/vmaheap/events >'"$tmp"'/events; grep -qE "new: fork, | joins" '"$tmp"'/events && grep -q "new: exec, " '"$tmp"'/events && grep -q "exit status 0x0" '"$tmp"'/events'
like "$(cat "$tmp/events")" "mmap\(0x.*\): [0-9a-f]+-[0-9a-f]+ = .*[0-9a-f]+-[0-9a-f]+ r[-w][-x]p" "a change is told with its call and its VMAs"
diag "$(grep -m 3 -E 'mmap|brk' "$tmp/events" | cut -c 1-300)"

python3 - "$tmp" <<'PY' >"$tmp/polled" 2>&1 &
import os, select, sys
f = os.open('/proc/vmaheap/events', os.O_RDONLY)
while os.read(f, 65536):
    pass
p = select.epoll()
p.register(f, select.EPOLLIN)
print('at the end', flush=True)
while True:
    for _, what in p.poll(20):
        got = os.read(f, 65536)
        if got:
            print('more', flush=True)
PY
poller=$!
ok "a reader comes to the end" until_true 10 grep -q end "$tmp/polled"
: >"$tmp/run"
ok "poll tells that there is more" until_true 20 grep -q more "$tmp/polled"
ok "-PID" say "-$shell"
is "$(watched)" "" "watched is empty"
ok "the hooks are disarmed" until_true 10 zero "hooks armed"
ok "rmmod while events is open and polled" rmmod vmaheap
{ kill -9 $poller; wait $poller; } 2>/dev/null
kill -9 $load1 $sleeper $shell 2>/dev/null
load
ok "and load again" test -e /proc/vmaheap/status
rmmod vmaheap
is "$(dmesg | grep -cE 'BUG|WARNING|Oops')" 0 "the kernel has nothing to complain of"
done_testing
