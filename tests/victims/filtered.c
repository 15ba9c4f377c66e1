// SPDX-License-Identifier: GPL-2.0
/*
 * Executes a command behind a seccomp filter, as container engines and services do: what
 * hardly anybody needs is forbidden, some of it by its arguments, and the rest allowed.
 * With socket no UNIX socket is allowed, either; twice: there are two filters.
 * Usage: filtered usual|socket|twice COMMAND [ARGUMENT]...
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RET(what) BPF_STMT(BPF_RET | BPF_K, what)
#define FORBID RET(SECCOMP_RET_ERRNO | EPERM)
#define IF(value) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1)

static int set(int family)
{
	struct sock_filter f[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		RET(SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x40000000, 0, 1),
		FORBID,
		IF(SYS_kexec_load),
		FORBID,
		IF(SYS_add_key),
		FORBID,
		/* personality(): only as it is */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_personality, 0, 4),
		LOAD(args[0]),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xffffffff, 1, 0),
		FORBID,
		RET(SECCOMP_RET_ALLOW),
		/* clone(): no new user namespace */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 5),
		LOAD(args[0]),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x10000000),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
		FORBID,
		RET(SECCOMP_RET_ALLOW),
		/* socket(): not of this family */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
		LOAD(args[0]),
		IF((unsigned int)family),
		FORBID,
		RET(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(f) / sizeof(*f), f };

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    set(!strcmp(argv[1], "socket") ? AF_UNIX : AF_VSOCK) ||
	    (!strcmp(argv[1], "twice") && set(AF_VSOCK))) {
		perror("filtered: seccomp");
		return 3;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
