// SPDX-License-Identifier: GPL-2.0
/*
 * heaps SEED THREADS [full]: heaps by chance, in the main arena and in those of
 * some threads, which then stand still. After "ready" it obeys a line each:
 *
 *   info      mallinfo and malloc_info(3), in lines of one form:
 *             "arena N fast CHUNKS BYTES rest CHUNKS BYTES system BYTES"
 *             "mapped CHUNKS BYTES"
 *             "mallinfo" and the fields of mallinfo2(3), as numbers
 *   free A..  frees these, in the main thread
 *   trim      malloc_trim(0)
 *   exit
 *
 * and answers with a line "done". `full`: the main thread's cache is full then,
 * so that what it frees goes to the arena. What it does in between takes no
 * memory and gives none back. Nor does khugepaged make huge pages of what trim has
 * just given back, as it does where transparent huge pages are "always".
 */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define SLOTS 1000

struct heap {
	unsigned int x; /* of the random numbers */
	unsigned int steps;
	void *slot[SLOTS];
	pthread_t thread;
};

static struct heap heaps[17];
static pthread_barrier_t built;
static char xml[1 << 20];
static FILE *out, *info; /* have their buffers, and need no malloc any more */

static unsigned int next(unsigned int *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	return *x ^= *x << 5;
}

/* Mostly small, some large, few so large that they are mapped. */
static size_t size_of(unsigned int r)
{
	switch (r % 32) {
	case 0:
		return r >> 5 & 0x1ffff;
	case 1 ... 3:
		return r >> 5 & 0x3fff;
	case 4 ... 12:
		return r >> 5 & 0x7ff;
	case 13:
		return r % 7 ? 100 : 300000;
	default:
		return r >> 5 & 0xff;
	}
}

static void *resized(void *p, size_t size)
{
	void *q = realloc(p, size);

	return q ? q : p;
}

/* Alternating growth and shrinking, so that free chunks lie between live ones. */
static void build(struct heap *h)
{
	unsigned int i;

	for (i = 0; i < h->steps; i++) {
		unsigned int r = next(&h->x);
		void **s = &h->slot[r % SLOTS];
		size_t size = size_of(next(&h->x));
		int shrink = i / 500 % 3 == 2;

		if (*s && (shrink || r >> 13 & 1)) {
			free(*s);
			*s = NULL;
		} else if (*s) {
			*s = resized(*s, size + 1);
			memset(*s, 1, size + 1);
		} else if (!shrink) {
			*s = r >> 14 & 15 ? malloc(size) : memalign(256, size);
			if (*s)
				memset(*s, 1, size);
		}
	}
}

static void *thread_main(void *arg)
{
	build(arg);
	pthread_barrier_wait(&built);
	pause();
	return NULL;
}

/*
 * Seven of each size are the most that a cache takes. Some chunks turn out larger
 * than asked for, by what would be too little for another: those do not count.
 */
static void fill_cache(void)
{
	void *p[64];
	size_t size, i, n, exact;

	for (size = 24; size <= 1032; size += 16) {
		for (n = exact = 0; n < 64 && exact < 7; n++) {
			p[n] = malloc(size);
			exact += malloc_usable_size(p[n]) == size;
		}
		for (i = 0; i < n; i++)
			free(p[i]);
	}
}

/* Of malloc_info's XML the totals of each heap, and of what is mapped. */
static void tell_info(void)
{
	char *line, *save = NULL;
	unsigned long fast[2] = { 0 }, rest[2] = { 0 }, n[2];
	int heap = -1;

	rewind(info);
	malloc_info(0, info);
	fflush(info);
	for (line = strtok_r(xml, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		sscanf(line, "<heap nr=\"%d\">", &heap);
		if (!strncmp(line, "</heap>", 7))
			heap = -1;
		sscanf(line,
		       "<total type=\"fast\" count=\"%lu\" size=\"%lu\"/>",
		       &fast[0], &fast[1]);
		sscanf(line,
		       "<total type=\"rest\" count=\"%lu\" size=\"%lu\"/>",
		       &rest[0], &rest[1]);
		if (heap >= 0 &&
		    sscanf(line, "<system type=\"current\" size=\"%lu\"/>",
			   &n[0]) == 1)
			fprintf(out,
				"arena %d fast %lu %lu rest %lu %lu system %lu\n",
				heap, fast[0], fast[1], rest[0], rest[1], n[0]);
		if (sscanf(line,
			   "<total type=\"mmap\" count=\"%lu\" size=\"%lu\"/>",
			   &n[0], &n[1]) == 2)
			fprintf(out, "mapped %lu %lu\n", n[0], n[1]);
	}
}

/* Of all arenas together, but for keepcost: that is the main one's top. */
static void tell_mallinfo(void)
{
#if __GLIBC_PREREQ(2, 33)
	struct mallinfo2 m = mallinfo2();
#else
	struct mallinfo m = mallinfo();
#endif

	fprintf(out, "mallinfo %zu %zu %zu %zu %zu %zu %zu %zu %zu\n",
		(size_t)m.arena, (size_t)m.ordblks, (size_t)m.smblks,
		(size_t)m.hblks, (size_t)m.hblkhd, (size_t)m.fsmblks,
		(size_t)m.uordblks, (size_t)m.fordblks, (size_t)m.keepcost);
}

static void free_these(char *list)
{
	char *word, *save = NULL;

	for (word = strtok_r(list, " ", &save); word;
	     word = strtok_r(NULL, " ", &save))
		free((void *)strtoul(word, NULL, 16));
}

/* False: there is nothing more to do. */
static int obey(char *line)
{
	if (!strcmp(line, "info")) {
		tell_info();
		tell_mallinfo();
	} else if (!strncmp(line, "free ", 5)) {
		free_these(line + 5);
	} else if (!strcmp(line, "trim")) {
		malloc_trim(0);
	} else {
		return 0;
	}
	return 1;
}

static void serve(void)
{
	static char line[1 << 16];
	size_t have = 0;
	char *end;
	ssize_t n;

	for (;;) {
		fflush(out);
		while (!(end = memchr(line, '\n', have))) {
			n = read(STDIN_FILENO, line + have,
				 sizeof(line) - have);
			if (n <= 0)
				return;
			have += (size_t)n;
		}
		*end = 0;
		if (!obey(line))
			return;
		have -= (size_t)(end + 1 - line);
		memmove(line, end + 1, have);
		fputs("done\n", out);
	}
}

int main(int argc, char **argv)
{
	static char buffers[2][1 << 16];
	unsigned int seed = argc > 1 ? (unsigned int)atoi(argv[1]) : 1;
	unsigned int threads = argc > 2 ? (unsigned int)atoi(argv[2]) : 0, i;

	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	out = stdout;
	setvbuf(out, buffers[0], _IOFBF, sizeof(buffers[0]));
	info = fmemopen(xml, sizeof(xml), "w");
	setvbuf(info, buffers[1], _IOFBF, sizeof(buffers[1]));
	pthread_barrier_init(&built, NULL, threads + 1);
	for (i = 0; i <= threads; i++) {
		heaps[i].x = (seed + i) * 2654435761u | 1;
		heaps[i].steps = 200 + next(&heaps[i].x) % 4000;
	}
	for (i = 1; i <= threads; i++)
		pthread_create(&heaps[i].thread, NULL, thread_main, &heaps[i]);
	build(&heaps[0]);
	if (argc > 3 && !strcmp(argv[3], "full"))
		fill_cache();
	pthread_barrier_wait(&built);
	fputs("ready\n", out);
	serve();
	return 0;
}
