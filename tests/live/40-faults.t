#!/bin/bash
# What goes wrong: each time a sentence that helps, a status to act on, nothing lost that was
# written before, and a target that goes on.
set -u
. "$(dirname "$0")/lib.sh"

PATH=$PATH:$(cd "$(dirname "$0")/../.." && pwd)/build/tests/victims
load
cd "$tmp" || bail "no $tmp"
chmod 755 .
status_of() { sed -n "s/^$1: *//p" /proc/vmaheap/status; }
said() { cat "$tmp/said"; }
nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }

# --- arguments and privileges
exits 125 "a pid that does not exist" vmaheap attach --alloc=none -o t0 -p 4194000
like "$(said)" 'process 4194000: there is no process' "it says so"
ok "and leaves no directory" test ! -e t0
exits 125 "a pid that is none" vmaheap attach -p x
exits 125 "no command" vmaheap record
exits 125 "an unknown source" vmaheap record --alloc=magic -- true
like "$(said)" 'shim, uprobe, walk, walk:MS or none' "it says which there are"
exits 127 "a command that does not exist" vmaheap record -o t1 -- /does/not/exist
like "$(said)" '/does/not/exist: No such file' "it says so"
exits 126 "a command that cannot be run" vmaheap record -o t2 -- /etc/passwd
exits 3 "the status of the target" vmaheap record -o t3 -- sh -c 'exit 3'
exits 125 "a directory with a trace in it" vmaheap record -o t3 -- true
like "$(said)" 'there is a trace in it' "it says so"

mkdir -m 777 free
exits 125 "a user without privilege: record" nobody vmaheap record -o free/t -- true
like "$(said)" 'CAP_SYS_PTRACE' "it names the capability"
sleep 1000 &
victim=$!
exits 125 "a user without privilege: attach to another user's process" nobody vmaheap attach -o free/t -p $victim
like "$(said)" 'CAP_SYS_PTRACE' "it names the capability"
exits 1 "doctor tells him" nobody vmaheap doctor
like "$(said)" 'MISS.*CAP_SYS_PTRACE' "what is missing"
exits 125 "a process that nobody watches" vmaheap maps -p $victim
like "$(said)" 'not watched' "it says so"
kill $victim

# --- traces that are none
mkdir empty
exits 125 "an empty directory" vmaheap report empty
exits 125 "no directory" vmaheap report nothing
exits 125 "no address" vmaheap why zzz t3
is "$(status_of sessions)" 0 "no session is left"

# --- the target is killed
vmaheap record -o killed --verify=20 -- churn 4 60 >killed.out 2>killed.err &
recorder=$!
until_true 30 grep -q running killed.out || bail "the victim does not run"
until_true 30 test -s killed/kernel || bail "no trace"
kill -9 "$(sed 's/running //' killed.out)"
wait $recorder
is $? 137 "SIGKILL of the target: its status"
like "$(cat killed.err)" 'killed by signal 9' "it says so"
like "$(cat killed.err)" 'lost: 0,.*' "nothing lost"
like "$(cat killed.err)" '^verify: [1-9][0-9]* checks, .* 0 mismatches' "verified until then"
ok "the trace is sound" vmaheap report killed

# --- the daemon is killed
vmaheap record -o orphan -- churn 2 5 >orphan.out 2>orphan.err &
recorder=$!
until_true 30 grep -q running orphan.out || bail "the victim does not run"
until_true 30 test -s orphan/kernel || bail "nothing was written"
kill -9 "$(pgrep -P $recorder vmaheap)"
ok "SIGKILL of the daemon: the watch is gone" until_true 10 sh -c \
	'grep -q "^sessions: *0" /proc/vmaheap/status'
wait $recorder
is $? 125 "the command says that it failed"
like "$(cat orphan.err)" 'daemon is gone' "and why"
is "$(ls /run/vmaheap)" "" "no socket of it is left"
unlike "$(cat orphan.err)" 'target was killed' "the target came to its end"
vmaheap report orphan >orphan.report 2>&1
like "$(cat orphan.report)" 'malloc' "what was written before can be read"

# --- the module goes
vmaheap record -o unloaded -- churn 2 5 >unloaded.out 2>unloaded.err &
recorder=$!
until_true 30 grep -q running unloaded.out || bail "the victim does not run"
ok "rmmod in the middle" rmmod vmaheap
wait $recorder
is $? 0 "the target came to its end"
like "$(cat unloaded.err)" 'module does not answer' "the command says what is not known any more"
ok "the trace can be read" vmaheap report unloaded
exits 125 "a report without memory fails" sh -c 'ulimit -v 200000; vmaheap report t3'
like "$(cat "$tmp/said")" '^vmaheap: .*memory' "and says why"
# The stamp stands still without the module, but the threads raise it themselves: few events wait for others.
is "$(python3 -c 'import resource, subprocess
subprocess.run(["vmaheap", "report", "unloaded"], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 200 * 1024)')" True "and in bounded memory"

# --- no module
exits 125 "no module, and none to be found" env -u VMAHEAP_KO vmaheap record -o none -- true
like "$(said)" 'module' "it says so"
exits 125 "a file that is no module" env VMAHEAP_KO=/bin/true vmaheap record -o none -- true
exits 0 "record loads the module itself" vmaheap record -o loaded -- true
ok "and unloads it again" sh -c '! grep -q ^vmaheap /proc/modules'
load

# --- a full disk
mkdir small
mount -t tmpfs -o size=512k none small
vmaheap record -o small/t -- churn 2 3 >full.out 2>full.err
is $? 125 "a full disk: the status says so"
like "$(cat full.err)" 'No space left' "and the text"
like "$(cat full.err)" 'events are not in the trace' "how much is missing"
like "$(cat full.out)" running "the target came to its end"
vmaheap script small/t >full.script 2>full.script.err
ok "what was written before can be read" test -s full.script
unlike "$(cat full.script.err)" truncated "and is whole"
umount small

# --- a truncated trace
cp -r killed cut
size=$(stat -c %s cut/kernel)
truncate -s $((size - 100)) cut/kernel
exits 1 "a truncated trace" vmaheap report cut
like "$(said)" 'truncated or damaged: [1-9][0-9]* bytes' "it says how much"
like "$(said)" 'malloc' "and shows the rest"

# --- two at once
vmaheap record -o one -- churn 2 2 >one.out 2>one.err &
a=$!
vmaheap record -o two -- churn 2 2 >two.out 2>two.err &
b=$!
wait $a
is $? 0 "two at once: the first"
wait $b
is $? 0 "two at once: the second"
like "$(cat one.err two.err | tr '\n' ' ')" 'lost: 0,.*lost: 0,' "nothing lost in either"
ok "the module can go" rmmod vmaheap
done_testing
