#!/bin/bash
# Names of functions in files that nobody finds any more when the trace is read: deleted or replaced
# while they were mapped, or a container's. In the guest with the module and without, on a host without.
set -u
. "$(dirname "$0")/lib.sh"

build=$(cd "$(dirname "$0")/../.." && pwd)/build
kernels=(none)
if in_guest; then
	load
	kernels+=(module)
fi
# Where anybody may get at them, wherever they were built.
mkdir "$tmp/bin" "$tmp/work"
cp "$build/vmaheap" "$build/libvmaheap-shim.so" "$tmp/bin/"
chmod 755 "$tmp" "$tmp/bin"
chmod 777 "$tmp/work"
cd "$tmp/work" || bail "no $tmp/work"
PATH=$tmp/bin:$PATH

# A program of some names that says so when it runs, and allocates until its input ends.
loop='$| = 1; print "running $$\n"; vec($in, 0, 1) = 1; @k = map { [$_] } 1 .. 9 until select $x = $in, undef, undef, 0.01'
kept() { ls "$1"/.symbols.* 2>/dev/null; }
# No more than the last lines: where it was when its input ended.
named() { vmaheap script "$1" | tail -n 200; }
has_names() { # TRACE NAME
	like "$(named "$1")" 'malloc\(.* <Perl_safesysmalloc\+0x[0-9a-f]+ \(mine[^)]*\)\)?>' "$2: functions have names"
}
sees() { [ "$(vmaheap report --json -p "$pid" | jq '[.spaces[] | select(.comm == "mine") | .calls.calls] | max > 100')" = true ]; }
# run LOG CMD...: in the background, $job, until it says its number, $pid; its input is descriptor 3
run() {
	local log=$1
	shift
	rm -f in
	mkfifo in
	"$@" <in >"$log.out" 2>"$log.err" &
	job=$!
	exec 3>in
	until_true 30 grep -q running "$log.out" || bail "the victim does not run: $(cat "$log.err")"
	pid=$(sed -n 's/^running //p' "$log.out")
}
end() {
	exec 3>&-
	wait $job
	is $? 0 "$1: it ends well"
}

for kernel in "${kernels[@]}"; do
	# --- what is where it was
	cp /usr/bin/perl mine
	run plain-$kernel vmaheap record --kernel=$kernel -o plain-$kernel -- ./mine -e "$loop"
	end "$kernel, there"
	is "$(kept plain-$kernel)" "" "$kernel, there: nothing is kept"
	has_names plain-$kernel "$kernel, there"

	# --- deleted while it runs
	run gone-$kernel vmaheap record --kernel=$kernel -o gone-$kernel -- ./mine -e "$loop"
	is "$(kept gone-$kernel)" "" "$kernel, deleted: nothing is kept before"
	rm mine
	until_true 20 kept gone-$kernel
	is $? 0 "$kernel, deleted: its symbols are kept"
	end "$kernel, deleted"
	is "$(kept gone-$kernel | wc -l)" 1 "$kernel, deleted: and of no other file"
	has_names gone-$kernel "$kernel, deleted"

	# --- replaced before it is attached to
	cp /usr/bin/perl mine
	run old-$kernel ./mine -e "$loop"
	cp /bin/true new
	mv new mine
	vmaheap attach --kernel=$kernel -o old-$kernel -p "$pid" 2>err &
	attach=$!
	until_true 60 sees || fail "no calls are seen: $(cat err)"
	kill -INT $attach
	wait $attach
	is $? 0 "$kernel, replaced: attach ends on ^C"
	end "$kernel, replaced"
	has_names old-$kernel "$kernel, replaced"
	is "$(kept old-$kernel | wc -l)" 1 "$kernel, replaced: of no other file"

	# --- a container's, for as long as it runs
	mkdir root-$kernel
	# shellcheck disable=SC2016
	run cont-$kernel vmaheap record -f --kernel=$kernel -o cont-$kernel -- unshare -m sh -c 'mount -t tmpfs none "$0" && cd "$0" &&
		mkdir usr run old dev && >dev/null && mount --rbind /usr usr && ln -s usr/lib usr/lib64 . &&
		cp /usr/bin/perl mine && pivot_root . old && exec /mine -e "$1"' root-$kernel "$loop"
	until_true 60 sees || fail "no calls are seen: $(cat cont-$kernel.err)"
	end "$kernel, container"
	has_names cont-$kernel "$kernel, container"
	is "$(kept cont-$kernel | wc -l)" 1 "$kernel, container: of no file that is here, too"
done

# --- what is kept is no more to be trusted than any file
cp "$(kept gone-none)" whole
cp /usr/bin/python3 "$(kept gone-none)"
unlike "$(vmaheap script gone-none)" '<[A-Z][A-Za-z_]*\+0x[0-9a-f]+ \(mine' "another build gives no names"
head -c 10000 whole >"$(kept gone-none)"
unlike "$(vmaheap script gone-none)" '<Perl_safesysmalloc' "nor does a part"
cp whole "$(kept gone-none)"
has_names gone-none "whole again"
mkdir empty
unlike "$(vmaheap report --folded=bytes --symfs=empty plain-none)" 'safesysmalloc' "symfs: nothing is there, and nothing kept"

# --- kept in memory
cp /usr/bin/perl mine
run fly vmaheap record --kernel=none --flight-recorder=2M -o fly -- ./mine -e "$loop"
rm mine
# Once a second it looks; a dump is a look, too.
kill -USR1 $job
until_true 30 grep -q 'recorded is in fly.1' fly.err || fail "no dump: $(cat fly.err)"
has_names fly.1 "flight recorder, a dump"
end "flight recorder"
has_names fly "flight recorder, the end"
is "$(kept fly | wc -l)" 1 "flight recorder: its file is with the rest"

# --- symbols that a distribution has packed into the file (Fedora's .gnu_debugdata)
strip -g -o symbols "$build/tests/victims/alloc_storm"
objcopy --only-keep-debug symbols
xz symbols
strip -o mine "$build/tests/victims/alloc_storm"
objcopy --add-section .gnu_debugdata=symbols.xz mine
run packed vmaheap record --kernel=none -o packed -- ./mine 1 10
rm mine
until_true 20 kept packed
end "packed"
like "$(named packed)" ' <(burst|allocate)\+0x[0-9a-f]+ \(mine[^)]*\)\)?>' "packed: functions have names"

# --- a daemon that stays, and a program that says nothing of its build and is built anew
objcopy --remove-section=.note.gnu.build-id "$build/tests/victims/churn" thread
objcopy --redefine-sym thread=another thread another
"$build/vmaheapd" &
daemon=$!
until_true 10 test -S /run/vmaheap/vmaheapd.sock || bail "no daemon"
touch built
chmod 755 built
for name in thread another; do
	cat $name >built
	vmaheap record --kernel=none -o built-$name -- ./built 1 100 >out 2>err &
	job=$!
	until_true 30 grep -q running out || bail "the victim does not run: $(cat err)"
	pid=$(sed -n 's/^running //p' out)
	like "$(vmaheap report --stacks -p "$pid")" " $name\+0x[0-9a-f]+ \(built" "a daemon: '$name' is its own name"
	kill -9 "$pid"
	wait $job
done
kill $daemon
wait $daemon

# --- of whom the kernel lets into less of /proc
cp /usr/bin/perl mine
chmod 755 mine
mkdir nobody
chown 65534:65534 nobody
run nobody setpriv --reuid=65534 --regid=65534 --clear-groups env XDG_RUNTIME_DIR="$tmp/work/nobody" VMAHEAP_KO= \
	vmaheap record --kernel=none -o nobody/t -- ./mine -e "$loop"
rm mine
until_true 20 kept nobody/t
is $? 0 "ordinary user: the symbols of the program are kept"
end "ordinary user"
has_names nobody/t "ordinary user"
done_testing
