// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "session/client.h"
#include "session/module.h"
#include "session/wire.h"

#define CAP_SYS_MODULE 16
#define CAP_SYS_PTRACE 19

struct report {
	FILE *f;
	int problems;
};

__attribute__((format(printf, 3, 4))) static void
line(FILE *f, const char *mark, const char *fmt, ...)
{
	va_list ap;

	fprintf(f, "%-5s", mark);
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	putc('\n', f);
}

/* The first line of a small file, "" when there is none. */
static const char *first_line(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");

	buf[0] = 0;
	if (!f)
		return buf;
	if (fgets(buf, (int)size, f))
		buf[strcspn(buf, "\n")] = 0;
	fclose(f);
	return buf;
}

static uint64_t effective_caps(void)
{
	char text[128];
	uint64_t caps = 0;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(text, sizeof(text), f))
		if (sscanf(text, "CapEff: %" SCNx64, &caps) == 1)
			break;
	if (f)
		fclose(f);
	return caps;
}

static void check_caps(struct report *r)
{
	uint64_t caps = effective_caps();

	if (caps >> CAP_SYS_PTRACE & 1) {
		line(r->f, "ok", "CAP_SYS_PTRACE: processes may be watched");
	} else {
		line(r->f, "MISS",
		     "CAP_SYS_PTRACE: watching is refused; run vmaheap as root (sudo), or without the kernel's side: record --kernel=none");
		r->problems++;
	}
	if (!module_loaded() && !(caps >> CAP_SYS_MODULE & 1)) {
		line(r->f, "MISS",
		     "CAP_SYS_MODULE: the module cannot be loaded; run as root, or load it beforehand");
		r->problems++;
	}
}

static void check_headers(struct report *r, const char *release)
{
	char path[300];

	snprintf(path, sizeof(path), "/lib/modules/%s/build", release);
	if (!access(path, F_OK)) {
		line(r->f, "ok",
		     "kernel headers: %s; make module KDIR=%s builds for this kernel",
		     path, path);
		return;
	}
	line(r->f, "MISS",
	     "kernel headers for %s: to build the module install linux-headers-%s",
	     release, release);
	r->problems++;
}

static void check_module(struct report *r, const char *release)
{
	const char *ko = getenv("VMAHEAP_KO");
	char text[128];

	if (module_loaded()) {
		line(r->f, "ok", "module: loaded (%s)",
		     first_line("/proc/vmaheap/status", text, sizeof(text)));
		return;
	}
	if (access("/proc/modules", F_OK)) {
		line(r->f, "MISS",
		     "module: this kernel (%s) cannot load modules; use another one, the test machine (make demo), or record --kernel=none",
		     release);
		r->problems++;
		return;
	}
	if (ko && !access(ko, R_OK)) {
		line(r->f, "ok",
		     "module: not loaded; vmaheap record loads $VMAHEAP_KO (%s) when needed",
		     ko);
	} else if (module_installed()) {
		line(r->f, "ok",
		     "module: not loaded; modprobe finds it, vmaheap record loads it when needed");
		return;
	} else {
		line(r->f, "MISS",
		     "module: not loaded, and modprobe finds none for this kernel: install vmaheap-dkms, or make install-module, or name the file in $VMAHEAP_KO");
		r->problems++;
	}
	check_headers(r, release);
}

/* Secure Boot brings both; a kernel may also be built or booted so. */
static void check_signature(struct report *r)
{
	char text[128];

	first_line("/sys/module/module/parameters/sig_enforce", text,
		   sizeof(text));
	if (text[0] == 'Y')
		line(r->f, "note",
		     "signatures: this kernel loads signed modules only; dkms signs with /var/lib/dkms/mok.key, once enrolled by mokutil --import /var/lib/dkms/mok.pub");
	else
		line(r->f, "ok", "signatures: unsigned modules may be loaded");
}

static void check_lockdown(struct report *r)
{
	char text[128];

	first_line("/sys/kernel/security/lockdown", text, sizeof(text));
	if (!text[0] || strstr(text, "[none]")) {
		line(r->f, "ok", "lockdown: none");
		return;
	}
	line(r->f, "note",
	     "lockdown: %s: an unsigned module is refused, and so are uprobes by BPF under [confidentiality]",
	     text);
}

static void check_ftrace(struct report *r)
{
	char text[32];

	first_line("/proc/sys/kernel/ftrace_enabled", text, sizeof(text));
	if (!text[0]) {
		line(r->f, "MISS",
		     "ftrace: this kernel has none (CONFIG_DYNAMIC_FTRACE); the module's hooks cannot be armed");
		r->problems++;
	} else if (strcmp(text, "1")) {
		line(r->f, "MISS",
		     "ftrace: switched off; sysctl kernel.ftrace_enabled=1");
		r->problems++;
	} else {
		line(r->f, "ok", "ftrace: enabled");
	}
}

static void check_btf(struct report *r)
{
	if (!access("/sys/kernel/btf/vmlinux", R_OK))
		line(r->f, "ok", "BTF: present");
	else
		line(r->f, "note",
		     "BTF: none (CONFIG_DEBUG_INFO_BTF): --alloc=uprobe may be refused by this kernel; --alloc=shim does not need it");
}

static void check_shim(struct report *r)
{
	char path[512];

	if (!client_shim_path(path, sizeof(path))) {
		line(r->f, "ok", "shim: %s", path);
		return;
	}
	line(r->f, "MISS",
	     "shim: libvmaheap-shim.so is not beside vmaheap nor in ../lib/vmaheap; make, or make install");
	r->problems++;
}

static void check_daemon(struct report *r)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/vmaheapd.sock", wire_dir());
	fd = wire_connect(path);
	if (fd >= 0) {
		line(r->f, "ok", "daemon: running (%s)", path);
		close(fd);
	} else {
		line(r->f, "note",
		     "daemon: none; vmaheap record and attach run their own");
	}
}

int doctor(FILE *f)
{
	struct report r = { .f = f };
	struct utsname u;

	uname(&u);
	line(f, "ok", "kernel: %s %s", u.release, u.machine);
	if (strcmp(u.machine, "x86_64")) {
		line(f, "MISS", "machine: only x86_64 is supported");
		r.problems++;
	}
	check_caps(&r);
	check_module(&r, u.release);
	check_signature(&r);
	check_lockdown(&r);
	check_ftrace(&r);
	check_btf(&r);
	check_shim(&r);
	check_daemon(&r);
	if (r.problems)
		fprintf(f, "%d problem%s\n", r.problems,
			r.problems == 1 ? "" : "s");
	return r.problems;
}
