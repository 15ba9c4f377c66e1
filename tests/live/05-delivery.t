#!/bin/bash
# The package and the module that tests/packages has built, installed in the guest: loaded by
# modprobe, by whoever asks for the netlink family, and by vmaheap record.
. "$(dirname "$0")/lib.sh"

kver=$(uname -r)
deb=$(ls build/deb/vmaheap_*_amd64.deb) || bail "run tests/packages first"
ko=build/deb/dkms/modules/$kver/updates/dkms/vmaheap.ko
unset VMAHEAP_KO
PATH=/usr/sbin:/usr/bin:/sbin:/bin

unload
# --no-triggers: man-db would index all manual pages of the machine.
ok "the package is installed" dpkg -i --no-triggers "$deb"
is "$(command -v vmaheap)" /usr/bin/vmaheap "vmaheap is on the PATH"

# A module tree of our own: depmod need not look at a thousand others.
mkdir -p "$tmp/modules/updates/dkms"
mount --bind "$tmp/modules" "/lib/modules/$kver"
depmod 2>"$tmp/said"
exits 1 "doctor finds a problem" vmaheap doctor
like "$(cat "$tmp/said")" '^MISS +module: .*install vmaheap-dkms' "no module: doctor says what to install"
exits 125 "record says so too" vmaheap record -o "$tmp/none" -- true
like "$(cat "$tmp/said")" 'modprobe vmaheap did not load it' "and what it has tried"

cp "$ko" "$tmp/modules/updates/dkms/"
depmod 2>"$tmp/said"
vmaheap doctor >"$tmp/said"
like "$(cat "$tmp/said")" '^ok +module: not loaded; modprobe finds it' "doctor: modprobe finds the module"
like "$(cat "$tmp/said")" '^ok +signatures: ' "doctor: this kernel loads unsigned modules"
like "$(cat "$tmp/said")" '^ok +shim: /usr/lib/vmaheap/' "doctor: the shim of the package"

ok "modprobe" modprobe vmaheap buffer_kib=128
is "$(cat /sys/module/vmaheap/parameters/buffer_kib)" 128 "with a parameter"
like "$(vmaheap doctor)" '^ok +module: loaded' "doctor: loaded"
ok "modprobe -r" modprobe -r vmaheap

exits 1 "nobody has loaded it" loaded
ok "the family is found by its name" genl ctrl get name vmaheap
ok "because asking for it has loaded the module" loaded
rmmod vmaheap

ok "record without the module" vmaheap record -o "$tmp/trace" -- /bin/true
like "$(cat "$tmp/said")" 'lost: 0' "loads it, and loses nothing"
ok "the trace is read" vmaheap maps "$tmp/trace"
exits 1 "record has unloaded what it had loaded" loaded

umount "/lib/modules/$kver"
ok "the package is removed" dpkg -r --no-triggers vmaheap
is "$(ls -d /usr/bin/vmaheap /usr/sbin/vmaheapd /usr/lib/vmaheap 2>/dev/null)" "" "and leaves nothing"
done_testing
