#!/bin/bash
# Each decoder's corpus, and 20000 inputs made of it, the same ones in each run.
cd "$(dirname "$0")/../.." || exit 1
targets=()
for source in tests/fuzz/*_fuzz.c; do
	targets+=("build/${source%.c}")
done
exec tests/fuzz/run --runs 20000 "${targets[@]}"
