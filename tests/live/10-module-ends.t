#!/bin/bash
# The module alone: its ends, whoever dies first and whatever runs, and /proc/vmaheap/.
. "$(dirname "$0")/lib.sh"

client=build/tests/live/modclient
storm=build/tests/victims/mm_storm
status() { sed -n "s/^$1: //p" /proc/vmaheap/status; }
zero() { [ "$(status "$1")" = 0 ]; }

load
$storm 1 0 & wait $!
gone=$!
sleep 1000 &
sleeper=$!

# --- ends

$client hold $sleeper >"$tmp/held" &
held=$!
until_true 10 grep -q watching "$tmp/held"
is "$(status processes)" 1 "one process is watched"
{ kill -9 $held && wait $held; } 2>/dev/null
ok "SIGKILL of the reader ends the watch" until_true 10 zero sessions
ok "and disarms the hooks" until_true 10 zero "hooks armed"
ok "and the target lives" kill -0 $sleeper

$storm 2 2000000000 & # until it is killed
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
		until_true 60 grep -q watching "$tmp/held3" || return
		[ $((i % 2)) = 0 ] || { kill -9 $c; wait $c; } 2>/dev/null
		rmmod vmaheap || return
		{ kill -9 $c; wait $c; } 2>/dev/null
	done
	kill -0 $load1
}
ok "20 times insmod, watch, rmmod under load" cycles

load
# A mapping of the page outlives the module; a descriptor of the file is of no use then.
python3 - <<'PY' >"$tmp/mapped" 2>&1 &
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
open('/proc/vmaheap/watched', 'w').write('+%d' % os.getpid())
f = os.open('/proc/vmaheap/stamp', os.O_RDONLY)
at = libc.mmap(None, 4096, 1, 1, f, 0)
stamp = ctypes.cast(at, ctypes.POINTER(ctypes.c_uint64))
last = stamp[0]
while stamp[0] == last:
    pass
print('rises', flush=True)
while os.path.exists('/proc/vmaheap'):
    pass
last = stamp[0]
again = libc.mmap(None, 4096, 1, 1, f, 0)
print('kept' if last and again == ctypes.c_void_p(-1).value else 'wrong', flush=True)
PY
mapper=$!
ok "a stamp page rises by itself" until_true 20 grep -q rises "$tmp/mapped"
is "$(status "stamps mapped")" 1 "one stamp page is mapped"
ok "rmmod while a stamp page is mapped" rmmod vmaheap
ok "the mapping is kept" until_true 20 grep -q kept "$tmp/mapped"
wait $mapper
load

# --- /proc/vmaheap

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

# ext4 gives the inode number of a file that is gone to the next one.
dd if=/dev/zero of="$tmp/img" bs=1M count=16 status=none
mkfs.ext4 -q "$tmp/img"
mkdir "$tmp/ext4"
modprobe loop
mount -o loop "$tmp/img" "$tmp/ext4" || bail "no ext4"
again() {
	local i inos=
	for i in 1 2 3; do
		cp /bin/true "$tmp/ext4/$i"
		inos+="$(stat -c %i "$tmp/ext4/$i") "
		"$tmp/ext4/$i"
		rm "$tmp/ext4/$i"
	done
	echo "$inos"
}
say "+$$"
inos=$(again)
say "-$$"
is "$(xargs -n 1 <<<"$inos" | sort -u | wc -l)" 1 "three files, one after the other, have one inode number"
is "$(sed -n "s,.* file .* $tmp/ext4/,,p" /proc/vmaheap/events | xargs)" "1 2 3" "and the path of each is told"
umount "$tmp/ext4"

# The longest path that can be told, all of it escaped.
python3 - <<'PY'
import mmap, os
os.mkdir('/n')
os.chdir('/n')
left = 4095 - len('/n')
while left > 1:
    name = '\n' * min(left - 1, 255)
    left -= len(name) + 1
    if left > 1:
        os.mkdir(name)
        os.chdir(name)
f = os.open(name, os.O_RDWR | os.O_CREAT)
os.truncate(f, 4096)
open('/proc/vmaheap/watched', 'w').write('+%d' % os.getpid())
mmap.mmap(f, 4096)
PY
like "$(grep -a ' file .*\\n\\n' /proc/vmaheap/events | wc -c)" '^[89][0-9][0-9][0-9]$' "a path of newlines is told"
unlike "$(grep -a ' file .*\\n\\n' /proc/vmaheap/events)" ' file .*mm[0-9]+ [0-9]+/[0-9]+ ' "and the next record on a line of its own"

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
# A child that the shell had just then is watched until it ends.
ok "watched is empty" until_true 20 sh -c '! grep -q . /proc/vmaheap/watched'
ok "the hooks are disarmed" until_true 10 zero "hooks armed"
ok "rmmod while events is open and polled" rmmod vmaheap
{ kill -9 $poller; wait $poller; } 2>/dev/null
kill -9 $load1 $sleeper $shell 2>/dev/null
load
ok "and load again" test -e /proc/vmaheap/status
rmmod vmaheap
is "$(dmesg | grep -cE 'BUG|WARNING|Oops')" 0 "the kernel has nothing to complain of"
done_testing
