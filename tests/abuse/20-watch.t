#!/bin/bash
# Too many watchers, watchers that do not read, and what is watched at a bad moment.
. "$(dirname "$0")/lib.sh"

load
diag "seed $seed"
bomb=build/tests/victims/bomb
figure() { sed -n "s/.*\b$1=\([0-9]*\).*/\1/p" "$tmp/said" | tail -n 1; }

pids=
for threads in 1 2 4; do
	$storm $threads 2000000000 &
	pids="$pids $!"
done
keep_hooks
# shellcheck disable=SC2086
ok "8 threads watch and unwatch through sockets of their own" \
	$abuse sockets 8 "$(times 300)" "$seed" $pids $$
told
ok "the targets live" kill -0 $pids
# shellcheck disable=SC2086
{ kill -9 $pids; wait $pids; } 2>/dev/null
drop_hooks
well "many sockets"

keep_hooks
ok "processes that exit, exec or vfork as they are watched" $abuse race "$(times 2000)" "$seed"
told
drop_hooks
well "races with the end"

keep_hooks
ok "processes that are watched while they are forked and followed" $abuse born $((300 + $(times 2000)))
told
drop_hooks
well "races with the beginning"

keep_hooks
ok "processes that are killed in the middle of a WATCH" $abuse slow $((10 + $(times 60)))
told
drop_hooks
well "a slow watcher"

ok "a receive buffer as small as can be: exact" \
	$client run -b 1 -i 100 -- $storm 4 $((400 + $(times 5000)))
told
ok "it was full" test "$(figure retries)" -gt 0
well "a tiny receive buffer"

forks=$(times 50)
ok "a fork bomb is followed, to the page" $client run -i 20 -- \
	sh -c "for i in \$(seq $forks); do $bomb fork 3 4; done >$tmp/bombs"
told
is "$(sort "$tmp/bombs" | uniq -c | xargs)" "$forks 85" "each of its processes ran"
# The shell and its seq are processes, too. (It vforks some, so forks are no measure.)
is "$(figure lost) $(figure exits)" "0 $((forks * 85 + 2))" "and the end of each was told"
well "a fork bomb"

ok "a storm of threads is watched, to the page" \
	$client run -i 20 -- $bomb threads $((200 + $(times 10000))) 64
told
well "a storm of threads" last
done_testing
