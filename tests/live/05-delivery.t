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

# The unit as it is, hardened, under a systemd of its own; which must not clean up /tmp.
units=/run/systemd/system
mkdir -p $units
for unit in tmpfiles-setup tmpfiles-setup-dev tmpfiles-clean; do
	ln -sf /dev/null "$units/systemd-$unit.service"
done
cat >"$tmp/inside" <<-END
	cd $tmp
	systemctl show vmaheapd -P Type -P ActiveState >active
	stat -c '%U %G %a' /run/vmaheap/vmaheapd.sock >socket
	vmaheap record --verify=50 -o served -- python3 -c 'x = [bytearray(1000) for i in range(3000)]' >served.out 2>&1
	sleep 1000 &
	vmaheap attach -p \$! -o joined >joined.out 2>&1 &
	for i in \$(seq 300); do grep -q watching joined.out && break; sleep 0.1; done
	kill -INT \$!
	wait \$!
	echo "status \$?" >>joined.out
	systemctl stop vmaheapd
	systemctl show vmaheapd -P Result -P ExecMainStatus >stopped
END
cat >$units/inside.service <<-END
	[Unit]
	Wants=vmaheapd.service
	After=vmaheapd.service
	DefaultDependencies=no
	SuccessAction=exit
	FailureAction=exit
	[Service]
	Type=oneshot
	Environment=PATH=$PATH
	ExecStart=/bin/bash $tmp/inside
END
systemd-sysusers /usr/lib/sysusers.d/vmaheap.conf 2>"$tmp/said"
ok "a systemd with the unit" timeout 200 unshare --pid --fork --mount-proc env container=other \
	/lib/systemd/systemd --system --unit=inside.service --log-target=console
is "$(xargs <"$tmp/active")" "notify active" "the daemon has told that it is ready"
is "$(cat "$tmp/socket")" "root vmaheap 660" "its socket is the group's"
like "$(cat "$tmp/served.out")" '^verify: [1-9][0-9]* checks, .* 0 mismatches' "the hardened daemon records, exactly"
like "$(cat "$tmp/served.out")" 'lost: 0' "and loses nothing"
like "$(cat "$tmp/joined.out")" 'its pointers are put back' "it gets into a running process, and out"
like "$(cat "$tmp/joined.out")" '^status 0' "and says so"
is "$(xargs <"$tmp/stopped")" "success 0" "it ends when it is asked to"
rm -r $units
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
