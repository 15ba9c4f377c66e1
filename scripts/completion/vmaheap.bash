# bash completion for vmaheap. What there is to complete the program says itself: its commands in
# vmaheap --help, their options and values (--alloc=shim|uprobe|none) in vmaheap COMMAND --help.

_vmaheap_values() { # OPTION HELP: the words of OPTION=a|b|c
	grep -oE -- "$1=[a-z0-9-]+(\|[a-z0-9-]+)+" <<<"$2" | head -n 1 | sed 's/^[^=]*=//; s/|/ /g'
}

_vmaheap() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]-}
	local help word i
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(vmaheap --help | awk '/^  [a-z]/ { print $1 }')" -- "$cur")
		return
	fi
	for ((i = 2; i < COMP_CWORD; i++)); do
		if [ "${COMP_WORDS[i]}" = -- ]; then # a command line of somebody else
			if [ $((i + 1)) = "$COMP_CWORD" ]; then
				mapfile -t COMPREPLY < <(compgen -c -- "$cur")
			else
				mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			fi
			return
		fi
	done
	help=$(vmaheap "$command" --help 2>/dev/null)
	# bash cuts words at "=": --alloc=sh is "--alloc", "=", "sh"
	if [ "$cur" = "=" ]; then
		word=$prev cur=
	elif [ "$prev" = "=" ]; then
		word=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	if [ -n "${word-}" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_vmaheap_values "$word" "$help")" -- "$cur")
	elif [ "$prev" = -p ]; then
		mapfile -t COMPREPLY < <(cd /proc && compgen -W "$(printf '%s ' [0-9]*)" -- "$cur")
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(grep -oE -- '(^|[[ ])--?[a-z][a-z-]*=?' <<<"$help" | tr -d '[ ' | sort -u)" -- "$cur")
		[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace 2>/dev/null
	else
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		[ "$command" != why ] ||
			mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W "$(sed -nE 's/^  ([a-z]+) +[^ ].*/\1/p' <<<"$help")" -- "$cur")
	fi
}

complete -o filenames -o bashdefault -F _vmaheap vmaheap
