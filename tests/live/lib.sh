# shellcheck shell=bash
# TAP for the live tests, which run as root in the guest:
#
#   . "$(dirname "$0")/lib.sh"
#   load                                # insmod $VMAHEAP_KO; unloaded at the end
#   ok "the daemon answers" vmaheap status
#   is "$(cat /proc/sys/kernel/tainted)" 0 "the kernel is clean"
#   like "$(vmaheap doctor)" '^module: .*loaded' "doctor sees the module"
#   done_testing
#
# Nothing here sleeps for a fixed time: until_true waits for a condition.

tap_count=0
tap_failed=0
tap_done=
tmp=$(mktemp -d)

pass() { tap_count=$((tap_count + 1)); echo "ok $tap_count - $*"; }
fail() { tap_count=$((tap_count + 1)); tap_failed=$((tap_failed + 1)); echo "not ok $tap_count - $*"; }
diag() { printf '%s\n' "$*" | sed 's/^/# /'; }

# ok NAME CMD...: CMD succeeds; what it says is shown when it does not.
ok() {
	local name=$1 status=0
	shift
	"$@" >"$tmp/said" 2>&1 || status=$?
	if [ $status = 0 ]; then
		pass "$name"
	else
		fail "$name"
		diag "$* ended with $status:"
		diag "$(head -n 40 "$tmp/said")"
	fi
}

# is GOT WANTED NAME
is() {
	if [ "$1" = "$2" ]; then
		pass "$3"
	else
		fail "$3"
		diag "$(diff -u <(printf '%s\n' "$2") <(printf '%s\n' "$1") | sed '1s/.*/--- wanted/;2s/.*/+++ got/')"
	fi
}

# like GOT ERE NAME; unlike: no line of GOT matches
like() {
	if printf '%s\n' "$1" | grep -Eq -- "$2"; then
		pass "$3"
	else
		fail "$3"
		diag "nothing matches $2 in:"
		diag "$1"
	fi
}

unlike() {
	if printf '%s\n' "$1" | grep -Eq -- "$2"; then
		fail "$3"
		diag "$2 matches:"
		diag "$(printf '%s\n' "$1" | grep -E -- "$2")"
	else
		pass "$3"
	fi
}

# exits STATUS NAME CMD...: CMD ends with exactly this status; its output is in $tmp/said.
exits() {
	local wanted=$1 name=$2 status=0
	shift 2
	"$@" >"$tmp/said" 2>&1 || status=$?
	if [ $status = "$wanted" ]; then
		pass "$name"
	else
		fail "$name"
		diag "$* ended with $status, not $wanted:"
		diag "$(head -n 40 "$tmp/said")"
	fi
}

# until_true SECONDS CMD...: false when CMD was not true within this time, which is that of
# an idle machine: four times as long is allowed.
until_true() {
	local end=$((SECONDS + 4 * $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

# Adds the programs of scripts/deps that are not installed, but unpacked; and what of postgres
# is on nobody's PATH.
programs() {
	local tree=${VMAHEAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vmaheap}/programs
	PATH=$PATH:/usr/lib/postgresql/15/bin
	[ -d "$tree" ] || return 0
	PATH=$PATH:$tree/usr/bin:$tree/usr/lib/postgresql/15/bin
	export LD_LIBRARY_PATH=$tree/usr/lib/x86_64-linux-gnu
}

# A program in python that holds 20,000 chunks, then half of them, then ends: it says when, and
# waits for a byte each time.
holder() {
	cat <<-'END'
		import sys
		held = [bytes(100 + i % 900) for i in range(20000)]
		print("ready", flush=True)
		sys.stdin.read(1)
		del held[::2]
		print("freed", flush=True)
		sys.stdin.read(1)
	END
}

# asleep PID: all of its threads wait for something
asleep() { ! grep -q '^State:.[^S]' /proc/"$1"/task/*/status; }

loaded() { grep -q '^vmaheap ' /proc/modules; }
load() { loaded || insmod "${VMAHEAP_KO:?}" "$@" || bail "insmod $VMAHEAP_KO failed"; }
unload() { ! loaded || rmmod vmaheap; }
in_guest() { [ -x /vm/busybox ]; }

bail() {
	echo "Bail out! $*"
	exit 255
}

# plan N at the beginning or done_testing at the end; a script that ends with neither fails.
plan() { echo "1..$1"; tap_done=yes; }
done_testing() { [ -n "$tap_done" ] || echo "1..$tap_count"; tap_done=yes; }

# What a failed test has made stays for whoever looks into it, unless it is large.
keep_files() {
	local to
	to=$OUT/$(basename "$0" .t)
	[ "$(du -sm "$tmp" | cut -f1)" -le 64 ] || return 0
	cp -a "$tmp" "$to" 2>/dev/null
	echo "# its files: $to"
}

at_exit() {
	local status=$?
	! in_guest || unload || echo "# the module cannot be unloaded"
	[ $tap_failed = 0 ] || ! in_guest || keep_files
	rm -rf "$tmp"
	if [ -z "$tap_done" ]; then
		echo "# the test ended early (status $status)"
		exit 254
	fi
	[ $tap_failed = 0 ] || exit 1
	exit $status
}
trap at_exit EXIT
