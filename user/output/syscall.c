// SPDX-License-Identifier: GPL-2.0
/*
 * Numbers: arch/x86/entry/syscalls/syscall_{64,32}.tbl of Linux. Flags have
 * their numbers here rather than those of this machine's headers: what is
 * decoded comes from the target's kernel, and may be younger than they are.
 */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "output/syscall.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct flag {
	uint64_t value;
	const char *name;
};

static const struct flag prot_flags[] = {
	{ 1, "PROT_READ" },
	{ 2, "PROT_WRITE" },
	{ 4, "PROT_EXEC" },
	{ 8, "PROT_SEM" },
	{ 0x01000000, "PROT_GROWSDOWN" },
	{ 0x02000000, "PROT_GROWSUP" },
};

static const struct flag map_types[] = {
	{ 1, "MAP_SHARED" },
	{ 2, "MAP_PRIVATE" },
	{ 3, "MAP_SHARED_VALIDATE" },
};

static const struct flag map_flags[] = {
	{ 0x10, "MAP_FIXED" },	    { 0x20, "MAP_ANONYMOUS" },
	{ 0x40, "MAP_32BIT" },	    { 0x100, "MAP_GROWSDOWN" },
	{ 0x800, "MAP_DENYWRITE" }, { 0x1000, "MAP_EXECUTABLE" },
	{ 0x2000, "MAP_LOCKED" },   { 0x4000, "MAP_NORESERVE" },
	{ 0x8000, "MAP_POPULATE" }, { 0x10000, "MAP_NONBLOCK" },
	{ 0x20000, "MAP_STACK" },   { 0x40000, "MAP_HUGETLB" },
	{ 0x80000, "MAP_SYNC" },    { 0x100000, "MAP_FIXED_NOREPLACE" },
};

static const struct flag mremap_flags[] = {
	{ 1, "MREMAP_MAYMOVE" },
	{ 2, "MREMAP_FIXED" },
	{ 4, "MREMAP_DONTUNMAP" },
};

static const struct flag shmat_flags[] = {
	{ 010000, "SHM_RDONLY" },
	{ 020000, "SHM_RND" },
	{ 040000, "SHM_REMAP" },
	{ 0100000, "SHM_EXEC" },
};

static const struct flag mlockall_flags[] = {
	{ 1, "MCL_CURRENT" },
	{ 2, "MCL_FUTURE" },
	{ 4, "MCL_ONFAULT" },
};

static const struct flag mlock2_flags[] = {
	{ 1, "MLOCK_ONFAULT" },
};

static const struct flag advices[] = {
	{ 0, "MADV_NORMAL" },	       { 1, "MADV_RANDOM" },
	{ 2, "MADV_SEQUENTIAL" },      { 3, "MADV_WILLNEED" },
	{ 4, "MADV_DONTNEED" },	       { 8, "MADV_FREE" },
	{ 9, "MADV_REMOVE" },	       { 10, "MADV_DONTFORK" },
	{ 11, "MADV_DOFORK" },	       { 12, "MADV_MERGEABLE" },
	{ 13, "MADV_UNMERGEABLE" },    { 14, "MADV_HUGEPAGE" },
	{ 15, "MADV_NOHUGEPAGE" },     { 16, "MADV_DONTDUMP" },
	{ 17, "MADV_DODUMP" },	       { 18, "MADV_WIPEONFORK" },
	{ 19, "MADV_KEEPONFORK" },     { 20, "MADV_COLD" },
	{ 21, "MADV_PAGEOUT" },	       { 22, "MADV_POPULATE_READ" },
	{ 23, "MADV_POPULATE_WRITE" }, { 24, "MADV_DONTNEED_LOCKED" },
	{ 25, "MADV_COLLAPSE" },       { 100, "MADV_HWPOISON" },
	{ 101, "MADV_SOFT_OFFLINE" },  { 102, "MADV_GUARD_INSTALL" },
	{ 103, "MADV_GUARD_REMOVE" },
};

/*
 * One letter an argument: p pointer, z size or other number, d int, x hex,
 * P prot, M mmap flags, f descriptor, o file offset, O file offset in pages,
 * R mremap flags, A advice, S shmat flags, L mlockall flags, K mlock2 flags.
 */
struct call {
	int32_t nr;
	const char *name, *args;
};

static const struct call calls_64[] = {
	{ 0, "read", "fpz" },
	{ 9, "mmap", "pzPMfo" },
	{ 10, "mprotect", "pzP" },
	{ 11, "munmap", "pz" },
	{ 12, "brk", "p" },
	{ 16, "ioctl", "fxx" },
	{ 25, "mremap", "pzzRp" },
	{ 28, "madvise", "pzA" },
	{ 30, "shmat", "dpS" },
	{ 56, "clone", "xpppp" },
	{ 57, "fork", "" },
	{ 58, "vfork", "" },
	{ 59, "execve", "ppp" },
	{ 60, "exit", "d" },
	{ 67, "shmdt", "p" },
	{ 135, "personality", "x" },
	{ 149, "mlock", "pz" },
	{ 150, "munlock", "pz" },
	{ 151, "mlockall", "L" },
	{ 152, "munlockall", "" },
	{ 157, "prctl", "dxxxx" },
	{ 158, "arch_prctl", "xp" },
	{ 206, "io_setup", "zp" },
	{ 207, "io_destroy", "p" },
	{ 216, "remap_file_pages", "pzPzM" },
	{ 231, "exit_group", "d" },
	{ 237, "mbind", "pzdpzx" },
	{ 311, "process_vm_writev", "dpzpzx" },
	{ 322, "execveat", "fpppx" },
	{ 323, "userfaultfd", "x" },
	{ 325, "mlock2", "pzK" },
	{ 329, "pkey_mprotect", "pzPd" },
	{ 425, "io_uring_setup", "zp" },
	{ 427, "io_uring_register", "fzpz" },
	{ 435, "clone3", "pz" },
	{ 440, "process_madvise", "fpzAx" },
	{ 448, "process_mrelease", "fx" },
	{ 450, "set_mempolicy_home_node", "pzzx" },
	{ 453, "map_shadow_stack", "pzx" },
	{ 462, "mseal", "pzx" },
};

static const struct call calls_32[] = {
	{ 1, "exit", "d" },
	{ 2, "fork", "" },
	{ 11, "execve", "ppp" },
	{ 45, "brk", "p" },
	{ 90, "old_mmap", "p" },
	{ 91, "munmap", "pz" },
	{ 117, "ipc", "dddxpx" },
	{ 120, "clone", "xpppp" },
	{ 125, "mprotect", "pzP" },
	{ 150, "mlock", "pz" },
	{ 151, "munlock", "pz" },
	{ 152, "mlockall", "L" },
	{ 153, "munlockall", "" },
	{ 163, "mremap", "pzzRp" },
	{ 190, "vfork", "" },
	{ 192, "mmap2", "pzPMfO" },
	{ 219, "madvise", "pzA" },
	{ 252, "exit_group", "d" },
	{ 358, "execveat", "fpppx" },
	{ 376, "mlock2", "pzK" },
	{ 380, "pkey_mprotect", "pzPd" },
	{ 397, "shmat", "dpS" },
	{ 398, "shmdt", "p" },
	{ 435, "clone3", "pz" },
	{ 440, "process_madvise", "fpzAx" },
};

static const struct call *find_call(int32_t nr, bool compat)
{
	const struct call *c = compat ? calls_32 : calls_64;
	size_t i, n = compat ? COUNT(calls_32) : COUNT(calls_64);

	for (i = 0; i < n; i++)
		if (c[i].nr == nr)
			return &c[i];
	return NULL;
}

const char *syscall_name(int32_t nr, bool compat, char buf[32])
{
	const struct call *c = find_call(nr, compat);

	if (c)
		return c->name;
	snprintf(buf, 32, "syscall_%" PRId32, nr);
	return buf;
}

static void put_value(FILE *f, uint64_t value, const struct flag *names,
		      size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (names[i].value == value) {
			fputs(names[i].name, f);
			return;
		}
	fprintf(f, "%#" PRIx64, value);
}

/* "A|B|0x80"; `none` when no bit is set. `sep` goes before the first. */
static void put_flags(FILE *f, uint64_t value, const struct flag *names,
		      size_t nr, const char *sep, const char *none)
{
	size_t i;

	if (!value)
		fputs(none, f);
	for (i = 0; i < nr; i++)
		if (value & names[i].value) {
			fprintf(f, "%s%s", sep, names[i].name);
			value &= ~names[i].value;
			sep = "|";
		}
	if (value)
		fprintf(f, "%s%#" PRIx64, sep, value);
}

static void put_map_flags(FILE *f, uint64_t value)
{
	put_value(f, value & 0xf, map_types, COUNT(map_types));
	put_flags(f, value & ~0xfull, map_flags, COUNT(map_flags), "|", "");
}

static void put_arg(FILE *f, char kind, uint64_t v)
{
	switch (kind) {
	case 'p':
		if (v)
			fprintf(f, "%#" PRIx64, v);
		else
			fputs("NULL", f);
		break;
	case 'z':
		fprintf(f, "%" PRIu64, v);
		break;
	case 'd':
	case 'f':
		fprintf(f, "%" PRId32, (int32_t)v);
		break;
	case 'O':
		fprintf(f, "%#" PRIx64, v << 12);
		break;
	case 'P':
		put_flags(f, v, prot_flags, COUNT(prot_flags), "", "PROT_NONE");
		break;
	case 'M':
		put_map_flags(f, v);
		break;
	case 'R':
		put_flags(f, v, mremap_flags, COUNT(mremap_flags), "", "0");
		break;
	case 'A':
		put_advice(f, (int32_t)v);
		break;
	case 'S':
		put_flags(f, v, shmat_flags, COUNT(shmat_flags), "", "0");
		break;
	case 'L':
		put_flags(f, v, mlockall_flags, COUNT(mlockall_flags), "", "0");
		break;
	case 'K':
		put_flags(f, v, mlock2_flags, COUNT(mlock2_flags), "", "0");
		break;
	default: /* o, x */
		fprintf(f, "%#" PRIx64, v);
		break;
	}
}

/* Has the call this argument? Only then may it hold anything else than rubbish. */
static bool arg_given(const struct call *c, size_t i, const uint64_t args[6])
{
	if (c->args[i] == 'p' && i == 4 && c->args[3] == 'R') /* mremap */
		return args[3] & 2; /* MREMAP_FIXED */
	return true;
}

void put_syscall(FILE *f, int32_t nr, bool compat, const uint64_t args[6])
{
	const struct call *c = find_call(nr, compat);
	char buf[32];
	size_t i;

	fprintf(f, "%s(", syscall_name(nr, compat, buf));
	for (i = 0; c && c->args[i]; i++)
		if (arg_given(c, i, args)) {
			fputs(i ? ", " : "", f);
			put_arg(f, c->args[i], args[i]);
		}
	fputs(c ? ")" : "...)", f);
}

void put_advice(FILE *f, int32_t advice)
{
	put_value(f, (uint64_t)(uint32_t)advice, advices, COUNT(advices));
}

bool syscall_maps_stack(int32_t nr, bool compat, const uint64_t args[6])
{
	return nr == (compat ? 192 : 9) && args[3] & 0x20000; /* MAP_STACK */
}

const char *failed_reason_name(enum failed_reason reason)
{
	static const char *const names[FAILED_REASONS] = {
		[FAILED_MAP_COUNT] = "vm.max_map_count",
		[FAILED_RLIMIT_AS] = "RLIMIT_AS",
		[FAILED_RLIMIT_DATA] = "RLIMIT_DATA",
		[FAILED_NO_ROOM] = "no hole so large",
	};

	return names[reason];
}

void put_failure(FILE *f, int32_t error, enum failed_reason reason)
{
	const char *name = strerrorname_np(error);
	const char *why = failed_reason_name(reason);

	if (name)
		fputs(name, f);
	else
		fprintf(f, "error %d", error);
	if (why)
		fprintf(f, ", %s", why);
}
