#!/bin/bash
# Programs that are executed without the shim: their environment is another one, or their files
# are. The shim is put into them, and they are heard from then on; where it cannot be, that is said.
set -u
. "$(dirname "$0")/lib.sh"

load
cd "$tmp" || bail "no $tmp"

holder >held.py
mkdir root
mount -t tmpfs none root || bail "no tmpfs"
mkdir root/usr root/run root/tmp && mount --rbind /usr root/usr && ln -s usr/lib usr/lib64 root || bail "no root"
cp held.py root/tmp && cp held.py /tmp/held.py || bail "no program"

python() { vmaheap report --json -p "$child" | jq -c "[.spaces[] | select(.comm == \"python3\")][0] | $1"; }
heap() { vmaheap heap --json -p "$child" | jq '([.arenas[].used.chunks] | add) + .mmapped.chunks'; }

# held NAME: it runs below process $pid, and is looked at as it goes on.
held() {
	until_true 60 grep -qs ready said || bail "$1: python does not run: $(cat err)"
	child=$(pgrep -f 'python3 /tmp/held.py$' | tail -1)
	found() { [ "$(python .found.at)" != null ]; }
	until_true 30 found || fail "$1: nothing is found in it: $(cat err)"
	is "$(python .live.chunks)" "$(heap)" "$1: as many chunks are live as malloc has in use"
	printf x >&4
	until_true 30 grep -q freed said
	is "$(python .live.chunks)" "$(heap)" "$1: and after half of them were freed"
	is "$(python '[.calls.calls > 10000, .doubts.double_allocs, .doubts.calls_lost]')" '[true,0,1]' \
		"$1: what was called before is a loss, the rest is seen"
	printf x >&4
}

# record KERNEL OPTION NAME COMMAND: of a shell
record() {
	rm -rf said trace more
	mkfifo more
	vmaheap record "$2" -f -o trace -- bash -c "$4; :" <more >said 2>err &
	local job=$!
	exec 4>more
	held "$1, $3"
	exec 4>&-
	wait $job
	is $? 0 "$1, $3: record ends with it"
	like "$(cat err)" '^record: 1 process without a preloaded shim was stopped' "$1, $3: it says what it did"
	like "$(cat err)" 'lost: 1(,.*)?$' "$1, $3: nothing else is lost"
	is "$(vmaheap report --json trace | jq -c '[.spaces[] | select(.comm == "python3") | .doubts.calls_lost]')" '[1]' \
		"$1, $3: the loss is that program's, in the trace as well"
	is "$(vmaheap report --json trace | jq -c '[.spaces[] | select(.comm != "python3") | .doubts.calls_lost] | add')" 0 \
		"$1, $3: and no other one's"
}

python='env -i PYTHONMALLOC=malloc /usr/bin/python3 /tmp/held.py'
for kernel in module none; do
	how=--verify=100
	[ $kernel = module ] || how=--kernel=none
	record "$kernel" $how "another environment" "$python"
	record "$kernel" $how "other files" "PYTHONMALLOC=malloc chroot root /usr/bin/python3 /tmp/held.py"
	is "$(ls root/run)" "" "$kernel: nothing is left of the socket"

	# --- whose parent has no shim, either
	vmaheap record $how -f -o child-$kernel -- /vm/busybox sh -c \
		'env -i PYTHONMALLOC=malloc /usr/bin/python3 -c "import time; time.sleep(2)"; :' 2>err
	is "$(vmaheap report --json child-$kernel | jq -c '[.spaces[] | select(.comm == "python3") | [.found.chunks > 1000, .doubts.calls_lost]]')" \
		'[[true,1]]' "$kernel: the child of a static program is heard"
done

# --- attached to the shell
rm -rf said more
mkfifo more go
bash -c "read -r <go; chroot root $python; :" <more >said 2>/dev/null &
pid=$!
exec 4>more
vmaheap attach -f -o attached -p $pid 2>err &
job=$!
until_true 30 grep -q watching err || bail "no attach: $(cat err)"
echo >go
held "attach -f"
exec 4>&-
wait $job
is $? 0 "attach -f ends with it"
wait $pid

# --- two programs, one right after the other: each has its own loss
mkfifo go2
bash -c 'read -r <go2; exec env -u A env -u B sleep 0.5' &
pid=$!
vmaheap attach -o twice -p $pid 2>err &
job=$!
until_true 30 grep -q watching err || bail "no attach: $(cat err)"
echo >go2
wait $job
is "$(vmaheap report --json twice | jq -c '[.spaces[] | [.comm, .doubts.calls_lost]]')" \
	'[["bash",0],["env",1],["env",1],["sleep",1]]' "each program that is executed has a loss of its own"

# --- none can be put into a static one
vmaheap record -f -o static -- bash -c 'env -i /vm/busybox sleep 1; :' 2>err
like "$(cat err)" 'executes a program that the shim cannot be put into: it is statically linked' "static: it is said"
is "$(vmaheap report --json static | jq -c '[.spaces[] | select(.comm == "busybox") | [.calls, .doubts.calls_lost]]')" '[[null,1]]' \
	"static: nothing is known, and that is a loss"
umount -l root
rm -f /tmp/held.py
done_testing
