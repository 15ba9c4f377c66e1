// SPDX-License-Identifier: GPL-2.0
/*
 * holds THREADS: holds chunks of all sizes, made by some threads, in all ways; some
 * of them have been resized, others freed. It prints "CHUNKS BYTES", how many it
 * holds and what was asked for, and then obeys bytes on its standard input:
 *
 *   h  frees every second one, and prints the same again
 *   b  its threads go on, "busy", until the next byte; then it prints it again
 *
 * until that ends. It is for C libraries that allocate nothing for threads (musl).
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS 3000
#define THREADS 16

struct slot {
	unsigned char *p;
	size_t size;
};

static struct part {
	struct slot slots[SLOTS];
	unsigned int x; /* of the random numbers */
	pthread_t thread;
} parts[THREADS];

static unsigned int nr_parts;
static volatile int busy;

static unsigned int next(unsigned int *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	return *x ^= *x << 5;
}

static size_t size_of(unsigned int r)
{
	switch (r % 64) {
	case 0:
		return r >> 8 & 0x7ffff; /* mapped, for the most part */
	case 1 ... 2:
		return r >> 8 & 0xffff;
	case 3 ... 10:
		return r >> 8 & 0xfff;
	case 11:
		return 0;
	default:
		return r >> 8 & 0xff;
	}
}

static void give(struct slot *s)
{
	free(s->p);
	s->p = NULL;
}

static void take(struct slot *s, unsigned int r, size_t size)
{
	if (s->p) {
		s->p = realloc(s->p, size + 1);
		s->size = size + 1;
	} else if (r >> 28 == 0) {
		s->p = aligned_alloc(16u << (r >> 24 & 7), size);
		s->size = size;
	} else {
		s->p = r >> 28 & 1 ? malloc(size) : calloc(1, size);
		s->size = size;
	}
	if (!s->p)
		_exit(3);
	memset(s->p, 0xff, s->size); /* what looks least like a book */
}

static void step(struct part *p)
{
	unsigned int r = next(&p->x);
	struct slot *s = &p->slots[r % SLOTS];

	r = next(&p->x);
	if (s->p && r >> 30)
		give(s);
	else
		take(s, r, size_of(next(&p->x)));
}

static void *work(void *arg)
{
	unsigned int i;

	for (i = 0; i < 4 * SLOTS; i++)
		step(arg);
	return NULL;
}

static void *go_on(void *arg)
{
	unsigned int i;

	for (i = 0; busy; i++) {
		step(arg);
		if (i % 32 == 31)
			usleep(500);
	}
	return NULL;
}

static void in_threads(void *(*what)(void *))
{
	unsigned int i;

	for (i = 0; i < nr_parts; i++)
		if (pthread_create(&parts[i].thread, NULL, what, &parts[i]))
			_exit(2);
}

static void join(void)
{
	unsigned int i;

	for (i = 0; i < nr_parts; i++)
		pthread_join(parts[i].thread, NULL);
}

static void say(const char *text)
{
	if (write(STDOUT_FILENO, text, strlen(text)) < 0)
		_exit(4);
}

static void tell(void)
{
	size_t chunks = 0, bytes = 0;
	unsigned int i, j;
	char line[64];

	for (i = 0; i < nr_parts; i++)
		for (j = 0; j < SLOTS; j++)
			if (parts[i].slots[j].p) {
				chunks++;
				bytes += parts[i].slots[j].size;
			}
	snprintf(line, sizeof(line), "%zu %zu\n", chunks, bytes);
	say(line);
}

static void free_half(void)
{
	unsigned int i, j;

	for (i = 0; i < nr_parts; i++)
		for (j = 0; j < SLOTS; j += 2)
			give(&parts[i].slots[j]);
}

int main(int argc, char **argv)
{
	struct slot *far = &parts[0].slots[1];
	unsigned int i;
	char c;

	nr_parts = argc > 1 ? (unsigned int)atoi(argv[1]) : 4;
	if (nr_parts < 1 || nr_parts > THREADS)
		return 1;
	for (i = 0; i < nr_parts; i++)
		parts[i].x = 2463534242u + i;
	in_threads(work);
	join();
	/* More than a header of musl's usual form has room for. */
	give(far);
	far->p = aligned_alloc(4 << 20, 1000);
	far->size = 1000;
	tell();
	while (read(STDIN_FILENO, &c, 1) == 1) {
		if (c == 'h')
			free_half();
		if (c == 'b') {
			busy = 1;
			in_threads(go_on);
			say("busy\n");
			continue;
		}
		if (busy) {
			busy = 0;
			join();
		}
		tell();
	}
	return 0;
}
