#!/bin/bash
# vmaheap top over ssh, in tmux, and in tmux over ssh: it draws, obeys, quits and leaves all as it was. An sshd
# of its own, on loopback, with files of its own (/etc/passwd as well: it wants a user sshd); no module is needed.
set -u
[ -n "${FAR-}" ] || FAR=1 exec unshare -m -p -f --mount-proc "$0"	# what it starts ends with it
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/screen.sh"

build=$(cd "$(dirname "$0")/../.." && pwd)/build
sshd=${VMAHEAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vmaheap}/sshd
PATH=$build:$PATH
export LC_ALL=C.UTF-8
cd "$tmp" || bail "no $tmp"

vmaheap record --kernel=none -o still -- "$build/tests/victims/heaps" 7 3 < <(sleep 1000) >still.out 2>still.err &
until_true 60 grep -q ready still.out || bail "heaps: not ready"
still=$(vmaheap top --json -n 1 | jq '.[0].pid')

# --- the far machine
mkdir -p run home
cat >config <<-END
	ListenAddress 127.0.0.1
	HostKey $tmp/host
	AuthorizedKeysFile $tmp/user.pub
	PidFile $tmp/sshd.pid
	PermitRootLogin prohibit-password
	StrictModes no
	PasswordAuthentication no
	KbdInteractiveAuthentication no
END
ssh-keygen -q -t ed25519 -N '' -f host && ssh-keygen -q -t ed25519 -N '' -f user || bail "ssh-keygen"
echo "root:x:0:0::$tmp/home:/bin/bash
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin" >passwd
echo 'root:*:19000:0:99999:7:::' >shadow
mount --bind passwd /etc/passwd && mount --bind shadow /etc/shadow || bail "no files of its own"
mkdir -p /run/sshd && mount --bind run /run/sshd || bail "no /run/sshd"
until_true 5 ip link set lo up
port=0
listens() { # on a port that is free
	port=$((20000 + (RANDOM + $$) % 20000))
	LD_LIBRARY_PATH=$sshd/usr/lib/x86_64-linux-gnu:$sshd/lib/x86_64-linux-gnu "$sshd/usr/sbin/sshd" -f config -p $port -E log &&
		until_true 5 test -s sshd.pid
}
until_true 60 listens || bail "sshd: $(cat log)"
cat >client <<-END
	Host far
	HostName 127.0.0.1
	Port $port
	User root
	IdentityFile $tmp/user
	IdentitiesOnly yes
	IdentityAgent none
	UserKnownHostsFile /dev/null
	StrictHostKeyChecking no
	LogLevel ERROR
END
far=(ssh -F client -tt far "PATH=$PATH; export LC_ALL=C.UTF-8;")
# What top leaves of a terminal, as its own side has it.
checked="a=\$(stty -g); vmaheap top -d 0.2; s=\$?; [ \"\$a\" = \"\$(stty -g)\" ] && echo \"as it was, \$s\""

coloured() { tell colours && [[ $said == *$1* ]]; }
uses() { # WHERE: what top does there, until q
	sees "$1: the list" "^ *$still .*heaps"
	tell 'keys \r'
	sees "$1: Enter opens a process" "process $still \\(heaps\\)"
	until_true 60 coloured green # the title comes before the picture
	like "$said" green "$1: in colours"
	tell 'keys <'
	sees "$1: it sorts" 'by size'
	tell 'keys R'
	sees "$1: the other way round" 'by size, reversed'
	tell 'keys \x1bOB'
	sees "$1: an arrow is a key" '^[0-9a-f]+-[0-9a-f]+ [^\n]*: (exec|brk|mmap|sampled)'
	tell 'keys \x1b'
	sees "$1: Esc goes back, though arrows begin with it" '1 process'
	tell 'keys /heaps\r'
	sees "$1: it filters" 'sorted by resident  /heaps$'
}

terminal 24 80 "${far[@]}" "$checked"
uses ssh
tell 'size 12 50'
sees "ssh: another size" '(?s)\A[^\n]{0,50}\n.*/heaps'
tell 'keys q'
sees "ssh: the far terminal" 'as it was, 0'
ends ssh 0

# The connection is cut.
terminal 24 80 "${far[@]}" 'exec vmaheap top -d 0.2'
sees "ssh: again" "^ *$still .*heaps"
pid=$(pgrep -x vmaheap | while read -r p; do tr '\0' ' ' <"/proc/$p/cmdline" | grep -q '^vmaheap top' && echo "$p"; done)
ok "ssh: top runs" kill -0 "$pid"
tell 'signal 9'
ok "ssh: the connection is cut, and top ends" until_true 30 sh -c "! kill -0 $pid"
exec {SCREEN[1]}>&-
wait "$SCREEN_PID" 2>/dev/null

tmux=(tmux -f /dev/null -S "$tmp/tmux")
terminal 24 80 "${tmux[@]}" new-session "$checked; read line"
uses tmux
"${tmux[@]}" split-window -v 'sleep 1000'
sees "tmux: half a window" '(?s)/heaps\n.*[─q-]{70}'
tell show
is "$(grep -c "^ *$still .*heaps" <<<"$said")" 1 "tmux: drawn once"
"${tmux[@]}" kill-pane
"${tmux[@]}" detach-client
tell end
is "${said%% *}" 0 "tmux: it is left"
exec {SCREEN[1]}>&-
wait "$SCREEN_PID" 2>/dev/null
terminal 24 80 "${tmux[@]}" attach
sees "tmux: and found again" "^ *$still .*heaps"
tell 'keys q'
sees "tmux: its terminal" 'as it was, 0'
tell 'keys \r'
ends tmux 0

terminal 24 80 "${far[@]}" "tmux -f /dev/null -S $tmp/far new-session '$checked; read line'"
uses "ssh, tmux"
tell 'keys q'
sees "ssh, tmux: its terminal" 'as it was, 0'
tell 'keys \r'
ends "ssh, tmux" 0

kill "$still"
done_testing
