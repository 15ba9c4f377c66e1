#!/bin/bash
# Who may look: CAP_SYS_PTRACE in the initial user namespace, whoever asks and whichever way; process
# numbers are the asker's; no kernel address leaves; the daemon keeps what it needs and serves whom it may.
. "$(dirname "$0")/lib.sh"

PATH=$PWD/build/tests/live:$PATH:$PWD/build/tests/victims
load
cp "$(command -v modclient)" "$(command -v vmaheap)" build/libvmaheap-shim.so "$tmp" || bail "something is not built"
PATH=$tmp:$PATH
chmod 755 "$tmp" "$tmp"/*
status() { sed -n "s/^$1: //p" /proc/vmaheap/status; }
zero() { [ "$(status "$1")" = 0 ]; }
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
said() { cat "$tmp/said"; }
caps() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }

sleep 1000 &
sleeper=$!
# not by the function, which would be a shell of root's
setpriv --reuid 65534 --regid 65534 --clear-groups sleep 1000 &
theirs=$!

# --- the module: an unprivileged user, and root of other namespaces

for request in watch unwatch sync stats; do
	like "$(as_nobody modclient try $request $theirs 0)" "^EPERM: CAP_SYS_PTRACE" \
		"a user: $request of his own process"
done
like "$(modclient try lend $sleeper 0)" "^EPERM: CAP_SYS_PTRACE" "sockets of a privileged opener, without the capability"
like "$(modclient try borrow $sleeper 0)" "^EPERM: CAP_SYS_PTRACE" "the capability, but sockets of an opener without it"
is "$(modclient try watch $sleeper 0)" ok "both"

family=$(modclient try family 0 0)
like "$family" '^[1-9][0-9]*$' "the family has a number"
for who in "" as_nobody; do
	name="root of a user namespace${who:+, by a user}"
	# shellcheck disable=SC2016
	like "$($who unshare -Ur modclient try watch $sleeper 0)" "^EPERM: CAP_SYS_PTRACE" "$name: watch"
	like "$($who unshare -Urpf --mount-proc modclient try watch 1 0)" "^EPERM: CAP_SYS_PTRACE" \
		"$name and a pid namespace: watch of itself"
	is "$($who unshare -Urpnf --mount-proc modclient try watch 1 0)" "no family" \
		"$name, a pid and a network namespace: no family"
	like "$(FAMILY=$family $who unshare -Urpnf --mount-proc modclient try watch 1 0)" "^ENOENT" \
		"$name: nor by its number"
	for file in watched events stamp; do
		exits 1 "$name: $file" $who unshare -Urpnf --mount-proc cat /proc/vmaheap/$file
	done
	exits 2 "$name: watched cannot be written" $who unshare -Urpnf --mount-proc sh -c 'echo +1 >/proc/vmaheap/watched'
done
is "$(unshare -n modclient try watch $sleeper 0)" "no family" "a network namespace alone: no family"
ok "nothing is left of refused watches" until_true 10 zero sessions

# --- /proc/vmaheap: descriptors that are passed on

echo +$sleeper >/proc/vmaheap/watched
like "$(cat /proc/vmaheap/events)" '[0-9a-f]{8,}-[0-9a-f]{8,}' "events show addresses"
exits 1 "events, opened by root, read by a user" as_nobody cat </proc/vmaheap/events
exits 1 "watched, opened by root, read by a user" as_nobody cat </proc/vmaheap/watched
exits 1 "events, opened by root, read by root of a user namespace" unshare -Ur cat </proc/vmaheap/events
# shellcheck disable=SC2024
as_nobody /bin/echo +$theirs >/proc/vmaheap/watched 2>"$tmp/said"
like "$(said)" 'not permitted' "watched, opened by root, written by a user"
is "$(cat /proc/vmaheap/watched | cut -d' ' -f1)" "$sleeper" "and only root's process is watched"
unlike "$(as_nobody cat /proc/vmaheap/status)" '[0-9a-f]{8}' "status shows everybody no address"

# --- pid namespaces

like "$(unshare -pf --mount-proc modclient try watch $sleeper 0)" "^ESRCH" "a pid namespace: a process outside has no number"
is "$(unshare -pf --mount-proc modclient try watch 1 0)" ok "a process inside has"
is "$(unshare -pf --mount-proc cat /proc/vmaheap/watched)" "" "watched does not show those outside"
exits 1 "events, whose numbers are of outside, cannot be read inside" unshare -pf --mount-proc cat /proc/vmaheap/events
ok "a capable process inside: exact, with its own numbers" \
	timeout 100 unshare -pf --mount-proc modclient run -i 20 -- mm_storm 2 200
unshare -pf --mount-proc sh -c 'sleep 1000 & echo $! >'"$tmp/inner"'; wait' &
until_true 10 test -s "$tmp/inner"
inner=$(cat "$tmp/inner")
outer=$(pgrep -n -f '^sleep 1000$')
like "$(grep NSpid "/proc/$outer/status")" "$outer.*\b$inner\$" "a process in a child namespace has two numbers"
echo "+$outer" >/proc/vmaheap/watched
like "$(cat /proc/vmaheap/watched)" "^$outer sleep" "outside it has the outer one"
like "$(nsenter -t "$outer" -p -m cat /proc/vmaheap/watched)" "^$inner sleep" "inside, the inner one"
is "$(nsenter -t "$outer" -p -m cat /proc/vmaheap/watched | wc -l)" 1 "and no other process is seen"
ok "it is unwatched by the inner one" nsenter -t "$outer" -p -m sh -c "echo -$inner >/proc/vmaheap/watched"
unlike "$(cat /proc/vmaheap/watched)" "^$outer " "and is"
modclient hold "$sleeper" >"$tmp/held" &
holder=$!
until_true 10 grep -q port "$tmp/held"
like "$(unshare -pf --mount-proc modclient try watch 1 0 "$(sed -n 's/^port //p' "$tmp/held")")" "^EXDEV" \
	"one session is of one pid namespace"
kill $holder "$outer"
echo -$sleeper >/proc/vmaheap/watched

# --- no kernel address

exits 0 "record of a shell with a shim" vmaheap record -f -o "$tmp/t" -- sh -c 'python3 -c pass; ls /proc/self/maps'
python3 - "$tmp/t/kernel" >"$tmp/said" <<'END'
import struct, sys
data = open(sys.argv[1], "rb").read()
words = struct.unpack("<%dQ" % (len(data) // 8), data[:len(data) // 8 * 8])
# what the target itself passed may be small and negative
print(len(words), sum(0xffff800000000000 <= w < 0xffffffffffff0000 for w in words))
END
like "$(said)" '^[0-9]{4,} 0$' "no word of its records is a kernel address"

# --- the daemon: what it keeps

vmaheapd &
daemon=$!
until_true 10 test -S /run/vmaheap/vmaheapd.sock || bail "no daemon"
# SYS_PTRACE 19, SYS_ADMIN 21, DAC_OVERRIDE 1
has_dropped() { [ "$(caps $daemon CapEff)" = 0000000000281002 ]; }
until_true 10 has_dropped
is "$(caps $daemon CapEff) $(caps $daemon CapPrm) $(caps $daemon CapInh) $(caps $daemon CapBnd) $(caps $daemon NoNewPrivs)" \
	"0000000000281002 0000000000281002 0000000000000000 0000000000000000 1" "vmaheapd keeps four capabilities"
is "$(stat -c '%a %u' /run/vmaheap/vmaheapd.sock)" "600 0" "its socket is root's"

vmaheap record -o "$tmp/w" -- sleep 1000 2>"$tmp/w.err" &
recorder=$!
until_true 20 pgrep -P $recorder -x sleep || bail "the target does not run"
target=$(pgrep -P $recorder -x sleep)
until_true 10 sh -c "grep -q '^CapEff:.*0000000000010022' /proc/$recorder/status"
# SYS_MODULE 16, KILL 5, DAC_OVERRIDE 1
is "$(caps $recorder CapEff) $(caps $recorder CapPrm)" "0000000000010022 0000000000010022" "vmaheap record keeps three"
is "$(caps "$target" CapEff)" "$(caps $$ CapEff)" "its target keeps all"
ok "root asks" vmaheap maps -p "$target"
exits 125 "a user cannot" as_nobody vmaheap maps -p "$target"
like "$(said)" 'not for you' "and is told so"
exits 125 "nor root of a user namespace" unshare -Ur vmaheap maps -p "$target"

# --- hostile clients and strangers at the shim's socket: it serves on

shim=$(ls /run/vmaheap/shim-$daemon-*.sock)
is "$(stat -c %a "$shim")" 666 "the shim's socket is open to all targets"
cat >"$tmp/rude.py" <<'END'
import socket, struct, sys, os, random
random.seed(3)
path, kind = sys.argv[1], sys.argv[2]
def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(path)         # waits while the queue is full, as a timeout would not
    s.settimeout(60)
    return s
if kind == "silent":        # strangers that never ask: each is told to go
    for i in range(3000):
        s = connect()
        magic, error = struct.unpack("<Ii", s.recv(64)[:8])
        assert error == 3, error
elif kind == "shim":        # strangers that ask
    answered = 0
    for i in range(200):
        s = connect()
        try:
            s.send(struct.pack("<IIII", 0x504d4856, 1, os.getpid(), 0))
        except BrokenPipeError: # refused before it asked
            pass
        except ConnectionRefusedError: # as it asked: older kernels drop the answer then (unix_dgram_sendmsg, 5.10)
            continue
        assert struct.unpack("<Ii", s.recv(64)[:8])[1] == 3
        answered += 1
        s.close()
    assert answered > 100, answered
elif kind == "junk":        # requests that are none
    for i in range(300):
        s = connect()
        s.send(random.choice([b"start\0pid=1", b"maps", b"why\0pid=", b"\0\0", b"finish", b"x" * 60000,
                              bytes(random.randrange(256) for _ in range(random.randrange(1, 200)))]))
        s.close()
elif kind == "deaf":        # asks, and never reads the answers
    s = connect()
    try:
        for i in range(100):
            s.send(b"maps\0pid=%d\0json=1\0" % int(sys.argv[3]))
        print("served for ever")
    except OSError:
        print("given up")
END
ok "3000 strangers that say nothing" as_nobody timeout 200 python3 "$tmp/rude.py" "$shim" silent
ok "strangers that ask for a ring" as_nobody timeout 100 python3 "$tmp/rude.py" "$shim" shim
ok "clients that talk nonsense" timeout 100 python3 "$tmp/rude.py" /run/vmaheap/vmaheapd.sock junk
is "$(timeout 100 python3 "$tmp/rude.py" /run/vmaheap/vmaheapd.sock deaf "$target")" "given up" "a client that does not listen"
ok "the daemon is there, and its watch is exact" vmaheap verify -p "$target"
kill "$target"
wait $recorder
is $? 143 "the target comes to its end"
like "$(cat "$tmp/w.err")" 'lost: 0,' "nothing of it is lost"
kill $daemon
wait $daemon

# --- by choice, a group may ask

vmaheapd --group=nogroup &
daemon=$!
until_true 10 test -S /run/vmaheap/vmaheapd.sock || bail "no daemon"
until_true 10 test "$(stat -c %a /run/vmaheap/vmaheapd.sock)" = 660
is "$(stat -c '%a %u %G' /run/vmaheap/vmaheapd.sock)" "660 0 nogroup" "the socket is the group's, too"
vmaheap attach --alloc=none -o "$tmp/a" -p $theirs 2>"$tmp/a.err" &
one=$!
vmaheap attach --alloc=none -o "$tmp/b" -p $sleeper 2>"$tmp/b.err" &
two=$!
until_true 20 grep -q watching "$tmp/a.err" || bail "no watch"
until_true 20 grep -q watching "$tmp/b.err" || bail "no watch"
ok "a member asks about his own process" as_nobody vmaheap maps -p $theirs
exits 125 "not about root's" as_nobody vmaheap maps -p $sleeper
like "$(said)" 'not watched' "of which he learns nothing"
exits 125 "nor does root of his user namespace" as_nobody unshare -Ur vmaheap maps -p $sleeper
ok "root asks about both" sh -c "vmaheap maps -p $theirs && vmaheap maps -p $sleeper"
cat >"$tmp/start.py" <<'END'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(60)
s.connect("/run/vmaheap/vmaheapd.sock")
s.send(b"start\0pid=%d\0alloc=none\0" % int(sys.argv[1]))
print(s.recv(65536)[1:].decode(), end="")
END
like "$(as_nobody python3 "$tmp/start.py" $theirs)" 'CAP_SYS_PTRACE' "he cannot start a watch"
kill $one $two
wait $one $two
kill $daemon $sleeper $theirs
wait $daemon
exits 125 "a group that does not exist" vmaheapd --group=no-such-group

ok "no session is left" until_true 10 sh -c 'grep -Eq "^sessions: [01]$" /proc/vmaheap/status'
ok "the module can go" rmmod vmaheap
is "$(dmesg | grep -cE 'BUG|WARNING|Oops')" 0 "the kernel has nothing to complain of"
done_testing
