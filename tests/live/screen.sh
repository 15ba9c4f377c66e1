# shellcheck shell=bash
# A program on a terminal of its own (screen.py), for the live tests; behind lib.sh:
#
#   terminal 24 80 vmaheap top
#   sees "the list" '^ *PID'
#   tell 'keys q'
#   ends q 0

screen_py=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/screen.py
terminal() { # LINES COLUMNS COMMAND...
	coproc SCREEN { exec /usr/bin/python3 "$screen_py" "$@"; }
	said=
}
tell() { # WHAT: the answer is in $said
	local line
	said=
	echo "$1" >&"${SCREEN[1]}"
	while IFS= read -r -t 200 -u "${SCREEN[0]}" line && [ "$line" != . ]; do
		said+=${said:+$'\n'}$line
	done
}
sees() { # NAME REGEX: sooner or later
	tell "until $2"
	is "$said" yes "$1"
}
# It ends with this status, and leaves the terminal as it was.
ends() { # NAME STATUS
	tell end
	is "$said" "$2" "$1: ends with $2, and the terminal is as it was"
	exec {SCREEN[1]}>&-
	wait "$SCREEN_PID" 2>/dev/null
}
