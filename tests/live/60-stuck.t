#!/bin/bash
# Who is stuck, the watched or the reader, and what that does to all others.
. "$(dirname "$0")/lib.sh"

client=build/tests/live/modclient
stuck=build/tests/live/modstuck
status() { timeout 60 sed -n "s/^$1: //p" /proc/vmaheap/status; }
zero() { [ "$(status "$1")" = 0 ]; }
told() {
	local status=0
	wait "$look" || status=$?
	cat "$tmp/look"
	return $status
}

load buffer_kib=64

# --- a target that holds its mmap_lock for as long as it likes

mkdir "$tmp/fuse"
mkfifo "$tmp/go"
$stuck lock "$tmp/fuse" <"$tmp/go" >"$tmp/stuck" 2>&1 &
server=$!
exec 8>"$tmp/go"
ok "a process holds its own mmap_lock" until_true 60 grep -q stuck "$tmp/stuck"
target=$(sed -n 's/^stuck //p' "$tmp/stuck")
exits 124 "the kernel itself waits for it" timeout 2 cat "/proc/$target/maps"
ok "WATCH does not" timeout 60 $client try watch "$target" 3
ok "a session ends" until_true 30 zero sessions
timeout 120 $client look "$target" >"$tmp/look" &
look=$!
ok "watched again" until_true 30 grep -q watching "$tmp/look"
is "$(status processes)" 1 "others are served meanwhile"
echo >&8
ok "it lets go of the lock" until_true 60 grep -q free "$tmp/stuck"
ok "and is told, whole and exact" told
like "$(tail -n 1 "$tmp/look")" "sync_again=[1-9]" "SYNC was refused meanwhile, not kept waiting"
diag "$(tail -n 1 "$tmp/look")"
ok "nothing is left watched" until_true 30 zero "hooks armed"
exec 8>&-
wait $server

# --- a call that does not return, while the module is to go

mkfifo "$tmp/unmap"
python3 - "$tmp/unmap" >"$tmp/uffd" <<'PY' &
import ctypes, fcntl, mmap, struct, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
fd = libc.syscall(323, 0)
fcntl.ioctl(fd, 0xc018aa3f, struct.pack('QQQ', 0xaa, 1 << 6, 0)) # UFFDIO_API: UFFD_FEATURE_EVENT_UNMAP
at = libc.mmap(None, ctypes.c_size_t(65536), 3, 0x22, -1, ctypes.c_long(0))
fcntl.ioctl(fd, 0xc020aa00, struct.pack('QQQQ', at, 65536, 1, 0)) # UFFDIO_REGISTER: missing pages
print('ready', flush=True)
open(sys.argv[1]).read()
libc.munmap(at, 4096) # of which nobody reads
PY
target=$!
ok "a process has a userfaultfd" until_true 60 grep -q ready "$tmp/uffd"
ok "it is watched" sh -c "echo +$target >/proc/vmaheap/watched"
: >"$tmp/unmap"
ok "its munmap() waits for the reader of that" until_true 60 grep -q userfaultfd /proc/$target/stack
if grep -q vh_call_stub /proc/$target/stack; then
	rmmod vmaheap &
	remover=$!
	says() { dmesg | grep -q 'vmaheap: unloading waits for a system call'; }
	ok "the module cannot go, and says so" until_true 30 says
	{ kill -9 $target; wait $target; } 2>/dev/null
	ok "when the call has ended it goes" wait $remover
else
	ok "the module goes" rmmod vmaheap
	{ kill -9 $target; wait $target; } 2>/dev/null
fi
load buffer_kib=64

# --- a reader that does not read, while the watched fork

mms() { awk '$1 == "mm_struct" { print $2 }' /proc/slabinfo; }
few_mms() { [ "$(mms)" -lt 1000 ]; }
mkfifo "$tmp/fork"
# shellcheck disable=SC2016
sh -c 'read -r line <"$0"; exec "$@"' "$tmp/fork" $stuck forks 2000 &
forker=$!
$client hold $forker >"$tmp/held" &
reader=$!
ok "a process that will fork is watched" until_true 30 grep -q watching "$tmp/held"
before=$(mms)
kill -STOP $reader
echo go >"$tmp/fork"
ok "it forks 2000 times, and its reader sleeps" wait $forker
lost=$(status lost)
kept=$(($(mms) - before))
diag "lost=$lost mm_structs kept=$kept"
ok "what the kernel keeps is limited" test $kept -lt 1600
ok "what is lost is counted" test "${lost:-0}" -gt 100
kill -CONT $reader
ok "read, all of it is freed" until_true 60 zero "hooks armed"
ok "with the address spaces" until_true 60 few_mms
{ kill -9 $reader; wait $reader; } 2>/dev/null
rmmod vmaheap
is "$(dmesg | grep -cE -f tests/vm/patterns)" 0 "the kernel has nothing to complain of"
done_testing
