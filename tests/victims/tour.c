// SPDX-License-Identifier: GPL-2.0
/*
 * tour EXPERIMENT [ARG]: the programs of scripts/tour. Each does one thing with memory,
 * prints what it did, a line "NAME VALUE" each, then "ready", and waits for a line
 * on standard input before it goes on, so that others can look at it meanwhile.
 */
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (1ul << 20)

static char line[64], out[4096],
	in[4096]; /* no stream gets its buffer by malloc */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void tell(const char *name, const void *p)
{
	printf("%s %lx\n", name, (unsigned long)p);
}

/* What has been done can be looked at now. */
static void ready(void)
{
	puts("ready");
	if (!fgets(line, sizeof(line), stdin))
		exit(0);
}

static void *map(size_t size, int flags)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static void small(void)
{
	tell("chunk", malloc(400));
	ready();
}

static void large(void)
{
	void *p = malloc(MIB);

	tell("chunk", p);
	ready();
	free(p);
	ready();
}

/* Free memory below one small chunk that is alive. */
static void pin(void)
{
	void *many[1000], *one;
	int i;

	for (i = 0; i < 1000; i++)
		many[i] = memset(malloc(10000), 1, 10000);
	one = malloc(2000); /* too large for the thread's cache */
	tell("pin", one);
	ready();
	for (i = 0; i < 1000; i++)
		free(many[i]);
	ready();
	free(one);
	malloc_trim(0);
	ready();
}

static void *get(void *unused)
{
	(void)unused;
	return malloc(400);
}

static void thread(void)
{
	pthread_t t;
	void *p;

	if (pthread_create(&t, NULL, get, NULL) || pthread_join(t, &p))
		die("pthread_create");
	tell("main", malloc(400));
	tell("thread", p);
	ready();
}

/* A file of 16 MiB, mapped, and then one byte of it read. */
static void lazy(const char *path)
{
	int fd = open(path, O_RDONLY);
	volatile const char *p;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die(path);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		die("mmap");
	tell("mapping", (const void *)p);
	ready();
	(void)*p;
	ready();
}

/* The parent writes to all of it, and the child reads all of it. */
static void share(void)
{
	volatile char *p = map(4 * MIB, MAP_SHARED | MAP_ANONYMOUS);
	int done[2];
	pid_t child;
	size_t i;
	char c;

	memset((char *)p, 1, 4 * MIB);
	if (pipe(done))
		die("pipe");
	child = fork();
	if (!child) {
		for (i = 0; i < 4 * MIB; i += 4096)
			c = p[i];
		close(done[1]);
		pause();
		_exit(c);
	}
	close(done[1]);
	if (child < 0 || read(done[0], &c, 1))
		die("fork");
	printf("child %d\n", child);
	tell("mapping", (const char *)p);
	ready();
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* As many objects by malloc and by mmap, and how long it takes. */
static void buy(int nr)
{
	double t0, t1, t2;
	int i;

	free(malloc(64)); /* the first one has more to do */
	t0 = seconds();
	for (i = 0; i < nr; i++)
		*(char *)malloc(64) = 1;
	t1 = seconds();
	for (i = 0; i < nr; i++)
		*(char *)map(64, MAP_PRIVATE | MAP_ANONYMOUS) = 1;
	t2 = seconds();
	printf("malloc_ns %.0f\n", (t1 - t0) / nr * 1e9);
	printf("mmap_ns %.0f\n", (t2 - t1) / nr * 1e9);
	ready();
}

/* Which way mappings grow, and where the heap is. */
static void layout(void)
{
	tell("heap", malloc(400));
	tell("first", map(MIB, MAP_PRIVATE | MAP_ANONYMOUS));
	tell("second", map(MIB, MAP_SHARED | MAP_ANONYMOUS));
	tell("stack", __builtin_frame_address(0));
	ready();
}

/* Somebody else's mapping where the heap would grow to. */
static void room(void)
{
	char *end, *wall;
	void *last = NULL;
	int i;

	malloc(400);
	end = sbrk(0);
	ready();
	wall = mmap(end + 16 * 4096, 4096, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (wall == MAP_FAILED)
		die("mmap");
	tell("wall", wall);
	for (i = 0; i < 10; i++)
		last = malloc(100000);
	tell("last", last);
	ready();
}

static void bytes(void)
{
	void **where = malloc(sizeof(*where));

	*where = where;
	tell("pointer", where);
	ready();
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} experiments[] = {
		{ "small", small },   { "large", large }, { "pin", pin },
		{ "thread", thread }, { "share", share }, { "layout", layout },
		{ "room", room },     { "bytes", bytes },
	};
	size_t i;

	setvbuf(stdout, out, _IOLBF, sizeof(out));
	setvbuf(stdin, in, _IOFBF, sizeof(in));
	for (i = 0;
	     argc == 2 && i < sizeof(experiments) / sizeof(experiments[0]); i++)
		if (!strcmp(argv[1], experiments[i].name))
			return experiments[i].run(), 0;
	if (argc == 3 && !strcmp(argv[1], "lazy"))
		return lazy(argv[2]), 0;
	if (argc == 3 && !strcmp(argv[1], "buy"))
		return buy(atoi(argv[2])), 0;
	fprintf(stderr, "usage: tour EXPERIMENT [ARG]\n");
	return 1;
}
