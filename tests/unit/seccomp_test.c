// SPDX-License-Identifier: GPL-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "intake/seccomp.h"
#include "seed.h"

#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at)
#define NR offsetof(struct seccomp_data, nr)
#define ARCH offsetof(struct seccomp_data, arch)
#define ARG(i) (offsetof(struct seccomp_data, args) + 8 * (i))
#define IF(op, value, yes, no) BPF_JUMP(BPF_JMP | (op) | BPF_K, value, yes, no)
#define RET(what) BPF_STMT(BPF_RET | BPF_K, what)
#define ALLOW RET(SECCOMP_RET_ALLOW)
#define KILL RET(SECCOMP_RET_KILL_PROCESS)
#define ERROR RET(SECCOMP_RET_ERRNO | 1)

#define ALLOWS(...)                                                           \
	seccomp_filter_allows((const struct sock_filter[]){ __VA_ARGS__ },    \
			      sizeof((struct sock_filter[]){ __VA_ARGS__ }) / \
				      sizeof(struct sock_filter))

static void test_actions(void **state)
{
	(void)state;
	assert_true(ALLOWS(ALLOW));
	assert_true(ALLOWS(RET(SECCOMP_RET_LOG)));
	assert_true(ALLOWS(RET(SECCOMP_RET_ALLOW | 7)));
	assert_false(ALLOWS(KILL));
	assert_false(ALLOWS(ERROR));
	assert_false(ALLOWS(RET(SECCOMP_RET_TRAP)));
	assert_false(ALLOWS(RET(SECCOMP_RET_TRACE)));
	assert_false(ALLOWS(RET(SECCOMP_RET_USER_NOTIF)));
	assert_true(ALLOWS(BPF_STMT(BPF_LD | BPF_IMM, SECCOMP_RET_ALLOW),
			   BPF_STMT(BPF_RET | BPF_A, 0)));
	assert_false(ALLOWS(LOAD(NR))); /* it ends without an answer */
}

/* Each call that is made must be allowed, and no other one. */
static void test_calls(void **state)
{
	static const int made[] = { SYS_getpid,	       SYS_gettid,
				    SYS_socket,	       SYS_setsockopt,
				    SYS_connect,       SYS_sendto,
				    SYS_recvmsg,       SYS_close,
				    SYS_mmap,	       SYS_munmap,
				    SYS_madvise,       SYS_futex,
				    SYS_clock_gettime, SYS_rt_sigprocmask };
	struct sock_filter all[2 + 2 * 14] = { LOAD(NR) };
	size_t i, n = 1;

	(void)state;
	for (i = 0; i < 14; i++) {
		assert_false(ALLOWS(LOAD(NR),
				    IF(BPF_JEQ, (uint32_t)made[i], 0, 1), ERROR,
				    ALLOW));
		all[n++] = (struct sock_filter)IF(BPF_JEQ, (uint32_t)made[i], 0,
						  1);
		all[n++] = (struct sock_filter)ALLOW;
	}
	all[n++] = (struct sock_filter)KILL;
	assert_true(seccomp_filter_allows(all, n));
	assert_true(
		ALLOWS(LOAD(NR), IF(BPF_JEQ, SYS_execve, 0, 1), KILL, ALLOW));
}

static void test_arguments(void **state)
{
	(void)state;
	assert_true(ALLOWS(LOAD(ARCH), IF(BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0),
			   KILL, ALLOW));
	assert_false(ALLOWS(LOAD(ARCH), IF(BPF_JEQ, AUDIT_ARCH_I386, 1, 0),
			    KILL, ALLOW));
	/* socket(): of a family that we do not ask for, and of ours */
	assert_true(ALLOWS(LOAD(NR), IF(BPF_JEQ, SYS_socket, 0, 3),
			   LOAD(ARG(0)), IF(BPF_JEQ, AF_VSOCK, 0, 1), ERROR,
			   ALLOW));
	assert_false(ALLOWS(LOAD(NR), IF(BPF_JEQ, SYS_socket, 0, 3),
			    LOAD(ARG(0)), IF(BPF_JEQ, AF_UNIX, 0, 1), ERROR,
			    ALLOW));
	/* the upper half of an argument */
	assert_true(ALLOWS(LOAD(NR), IF(BPF_JEQ, SYS_socket, 0, 3),
			   LOAD(ARG(0) + 4), IF(BPF_JEQ, 0, 1, 0), ERROR,
			   ALLOW));
	/* a descriptor, which may be any; where our code is */
	assert_false(ALLOWS(LOAD(NR), IF(BPF_JEQ, SYS_close, 0, 3),
			    LOAD(ARG(0)), IF(BPF_JEQ, 5, 0, 1), ERROR, ALLOW));
	assert_false(
		ALLOWS(LOAD(offsetof(struct seccomp_data, instruction_pointer)),
		       ALLOW));
	/* an argument that the call does not have: 0 here, who knows there */
	assert_true(
		ALLOWS(LOAD(NR), IF(BPF_JEQ, SYS_getpid, 0, 1), ALLOW, ALLOW));
}

/* Of the accumulator, the index register and the memory. */
static void test_machine(void **state)
{
	const uint16_t alu = BPF_ALU | BPF_K;

	(void)state;
	assert_true(ALLOWS(
		BPF_STMT(BPF_LD | BPF_IMM, 0xf0f0),
		BPF_STMT(alu | BPF_AND, 0xff00), BPF_STMT(alu | BPF_RSH, 8),
		BPF_STMT(alu | BPF_OR, 0x0f), BPF_STMT(alu | BPF_ADD, 2),
		BPF_STMT(alu | BPF_SUB, 1), BPF_STMT(alu | BPF_LSH, 4),
		BPF_STMT(alu | BPF_XOR, 1), BPF_STMT(BPF_ST, 3),
		BPF_STMT(BPF_LD | BPF_IMM, 0), BPF_STMT(BPF_LDX | BPF_MEM, 3),
		BPF_STMT(BPF_MISC | BPF_TXA, 0), BPF_STMT(BPF_STX, 15),
		BPF_STMT(BPF_LD | BPF_MEM, 15), IF(BPF_JEQ, 0x1001, 1, 0), KILL,
		ALLOW));
	assert_true(ALLOWS(
		BPF_STMT(BPF_LD | BPF_IMM, 5), BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0), IF(BPF_JGT, 9, 0, 3),
		IF(BPF_JGE, 10, 0, 2), IF(BPF_JGT, 10, 1, 0),
		IF(BPF_JSET, 2, 1, 0), KILL, BPF_STMT(BPF_ALU | BPF_NEG, 0),
		IF(BPF_JEQ, (uint32_t)-10, 0, 1), BPF_STMT(BPF_JMP | BPF_JA, 1),
		KILL, ALLOW));
}

/* Whatever it is, it is read within its bounds, and comes to an end. */
static void test_random(void **state)
{
	unsigned int i, j, nr, allowed = 0;

	(void)state;
	for (i = 0; i < 20000; i++) {
		struct sock_filter *f;

		nr = 1 + seed_below(40);
		f = calloc(nr, sizeof(*f));
		assert_non_null(f);
		for (j = 0; j < nr; j++)
			f[j] = (struct sock_filter){
				(uint16_t)seed_below(0x100),
				(uint8_t)seed_below(nr),
				(uint8_t)seed_below(nr),
				seed_below(2) ?
					seed_below(64) :
					(uint32_t)seed_below(1u << 31) * 2
			};
		if (seed_below(2))
			f[nr - 1] = (struct sock_filter)ALLOW;
		allowed += seccomp_filter_allows(f, nr);
		free(f);
	}
	assert_in_range(allowed, 1, 19999);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
