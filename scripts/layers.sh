#!/bin/bash
# scripts/layers.sh: knowledge flows one way only.  What each folder may #include "..." of ours:
set -u
cd "$(dirname "$0")/.."

rules() {
	cat <<-'END'
		kmod/               ^[a-z_]+\.h$|^uapi/|^compat/
		user/probe/         ^probe/
		user/model/         ^model/
		user/intake/        ^intake/|^model/(event|page)\.h$|^uapi/|^probe/(words|alloc|inject|names|operators|dynamic)\.h$|^probe/[a-z_]+\.skel\.h$
		user/trace/         ^trace/|^model/event\.h$|^uapi/|^probe/words\.h$
		user/output/        ^output/|^model/|^probe/words\.h$|^uapi/
		user/export/        ^export/|^output/|^model/
	END
	# user/session/ joins them all; user/command/, user/vmaheap.c and user/vmaheapd.c sit on top.
}

bad=0
while read -r folder allowed; do
	while IFS=: read -r file line include; do
		include=${include#*\"}
		include=${include%%\"*}
		if ! [[ $include =~ $allowed ]]; then
			echo "$file:$line: $folder may not include \"$include\""
			bad=1
		fi
	done < <(grep -rnE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$folder" 2>/dev/null)
done < <(rules)

# And what model/ must not know of at all (sys/mman.h is only its way to memory).
if grep -rnE '#include <(stdio|time|unistd|fcntl|sys/(stat|ioctl|socket|time))\.h>' user/model/; then
	echo "user/model/ is pure: no file descriptor, no clock, no output"
	bad=1
fi
exit $bad
