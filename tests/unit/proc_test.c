// SPDX-License-Identifier: GPL-2.0
/* /proc/PID/maps of a process that is killed as it is read. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "intake/proc.h"
#include "child.h"
#include "seed.h"

#define VMAS 2000
#define ROUNDS 100
#define PAGE 4096

struct killer {
	pid_t pid;
	long ns;
};

static void *kill_it(void *arg)
{
	const struct killer *k = arg;

	nanosleep(&(struct timespec){ .tv_nsec = k->ns }, NULL);
	kill(k->pid, SIGKILL);
	return NULL;
}

/* So many VMAs that the maps are read in many pieces. */
static void in_pieces(void)
{
	char *p = mmap(NULL, VMAS * PAGE, PROT_READ,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (long i = 0; i < VMAS; i += 2)
		mprotect(p + i * PAGE, PAGE, PROT_NONE);
}

static long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* All lines or none; a part of them would pass for unmapped memory. */
static void test_killed(void **state)
{
	long all, nr, took;
	struct proc_map *maps;
	pthread_t thread;

	(void)state;
	seed_start();
	for (int i = 0; i < ROUNDS; i++) {
		struct killer k = { .pid = child_that(in_pieces) };

		took = -now_ns();
		all = proc_maps((uint32_t)k.pid, &maps);
		took += now_ns();
		assert_true(all >= VMAS);
		free(maps);
		k.ns = seed_below((uint32_t)(2 * took));
		assert_int_equal(pthread_create(&thread, NULL, kill_it, &k), 0);
		nr = proc_maps((uint32_t)k.pid, &maps);
		if (nr != all)
			assert_int_equal(nr, -ESRCH);
		free(maps);
		pthread_join(thread, NULL);
		waitpid(k.pid, NULL, 0);
	}
}

/* A kernel thread, a zombie. */
static void test_no_memory(void **state)
{
	struct proc_map *maps;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 },
				WEXITED | WNOWAIT),
			 0);
	assert_int_equal(proc_maps((uint32_t)pid, &maps), -ESRCH);
	assert_null(maps);
	waitpid(pid, NULL, 0);
	assert_int_equal(proc_maps((uint32_t)pid, &maps), -ENOENT);
}

struct forker {
	pid_t pid;
	pthread_barrier_t at;
};

static void *fork_one(void *arg)
{
	struct forker *f = arg;

	f->pid = fork();
	if (!f->pid)
		_exit(0);
	pthread_barrier_wait(&f->at);
	pthread_barrier_wait(&f->at);
	return NULL;
}

static bool has_child(pid_t pid)
{
	uint32_t *pids;
	long nr = proc_children((uint32_t)getpid(), &pids), i;
	bool has = false;

	assert_true(nr >= 0);
	for (i = 0; i < nr; i++)
		has |= pids[i] == (uint32_t)pid;
	free(pids);
	return has;
}

/* Those of each thread, whether they are waited for or not. */
static void test_children(void **state)
{
	struct forker f;
	pthread_t thread;
	uint32_t *pids;
	pid_t pid = fork();

	(void)state;
	if (!pid)
		_exit(0);
	assert_int_equal(pthread_barrier_init(&f.at, NULL, 2), 0);
	assert_int_equal(pthread_create(&thread, NULL, fork_one, &f), 0);
	pthread_barrier_wait(&f.at);
	assert_true(has_child(pid));
	assert_true(has_child(f.pid));
	waitpid(pid, NULL, 0);
	assert_false(has_child(pid));
	assert_true(has_child(f.pid));
	pthread_barrier_wait(&f.at);
	pthread_join(thread, NULL);
	waitpid(f.pid, NULL, 0);
	assert_false(has_child(f.pid));
	assert_int_equal(proc_children(0x3fffffff, &pids), -ENOENT);
	assert_null(pids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_children),
	};

	return cmocka_run_group_tests_name("proc", tests, NULL, NULL);
}
