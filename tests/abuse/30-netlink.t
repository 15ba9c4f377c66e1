#!/bin/bash
# Random and mutated messages to the family, with and without privilege.
. "$(dirname "$0")/lib.sh"

load
$storm 2 2000000000 &
target=$!
keep_hooks
ok "random and mutated messages, seed $seed" $abuse fuzz "$(times 100000)" "$seed" $target
told
like "$(cat "$tmp/said")" "^# ok: " "some of them were obeyed"
like "$(cat "$tmp/said")" "^# EINVAL: " "some refused"
ok "the target lives" kill -0 $target
{ kill -9 $target; wait $target; } 2>/dev/null
drop_hooks
well "random messages"

cp $abuse "$tmp/modabuse"
chmod 755 "$tmp" "$tmp/modabuse"
# "ok" may be among the answers: what asks to be acknowledged but is no request is acknowledged before the
# family hears of it (net/netlink/af_netlink.c 6.1, netlink_rcv_skb()).
exits 1 "the same from nobody: none obeyed" \
	setpriv --reuid 65534 --regid 65534 --clear-groups "$tmp/modabuse" fuzz "$(times 10000)" "$seed" $$
told
like "$(cat "$tmp/said")" "^# EPERM: " "they were refused"
is "$(status sessions)" 0 "nothing is watched"
well "messages of nobody" last
done_testing
