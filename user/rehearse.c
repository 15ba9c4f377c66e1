// SPDX-License-Identifier: GPL-2.0
/*
 * vmaheap-rehearse: plays recorded allocator calls once more, to the malloc of
 * glibc itself: no simulation could be as faithful. It runs under the eyes of
 * session/rehearsal.c, which counts its system calls, with GLIBC_TUNABLES as the
 * question has them.
 *
 * Its own memory, and the C library's, comes from elsewhere: malloc and its
 * family are defined here, and glibc's are called by their other names. So the
 * heap holds nothing but what was recorded, address by address.
 *
 * Only one thread runs at a time: it hands the baton to the thread of the next
 * call. A thread ends with its last call.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "session/rehearse.h"

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);
void *__libc_valloc(size_t size);
void *__libc_pvalloc(size_t size);
void __libc_free(void *p);

/* --- the C library's own memory: handed out, never taken back */

static char own[1 << 20];
static size_t own_used;

static void *own_take(size_t align, size_t size)
{
	size_t at = (own_used + align - 1) & ~(align - 1);

	if (size > sizeof(own) || at > sizeof(own) - size)
		return NULL;
	own_used = at + size;
	return own + at;
}

void *malloc(size_t size)
{
	size_t *p = own_take(16, size + 16);

	if (!p)
		return NULL;
	*p = size;
	return p + 2;
}

void *calloc(size_t n, size_t size)
{
	return malloc(n * size); /* it was never used before */
}

void *realloc(void *p, size_t size)
{
	void *q = malloc(size);
	size_t old = p ? ((size_t *)p)[-2] : 0;

	if (q && p)
		memcpy(q, p, old < size ? old : size);
	return q;
}

void free(void *p)
{
	(void)p;
}

void *memalign(size_t align, size_t size)
{
	return own_take(align < 16 ? 16 : align, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

int posix_memalign(void **p, size_t align, size_t size)
{
	*p = memalign(align, size);
	return *p ? 0 : ENOMEM;
}

/* --- the play */

struct player {
	pthread_t id;
	sem_t baton;
	uint64_t last; /* its last note */
	bool on; /* it is there */
};

static struct rehearse_head *head;
static struct player *players;
static void **slots;
static uint64_t at; /* the note that is played; whoever has the baton */

static void *play(const struct score_note *n)
{
	void **s = &slots[n->slot];

	switch (n->op) {
	case SCORE_MALLOC:
		return *s = __libc_malloc(n->size);
	case SCORE_CALLOC:
		return *s = __libc_calloc(1, n->size);
	case SCORE_REALLOC:
		return *s = __libc_realloc(*s, n->size);
	case SCORE_MEMALIGN:
		return *s = __libc_memalign((size_t)1 << n->align, n->size);
	case SCORE_VALLOC:
		return *s = __libc_valloc(n->size);
	case SCORE_PVALLOC:
		return *s = __libc_pvalloc(n->size);
	default:
		__libc_free(*s);
		return *s = NULL;
	}
}

static void play_note(const struct score_note *n, struct score_heard *h)
{
	void *p;

	head->inside = (int32_t)syscall(SYS_gettid);
	p = play(n);
	head->inside = 0;
	h->addr = (uint64_t)p;
	h->head = p ? ((uint64_t *)p)[-1] : 0;
}

static void *play_part(void *arg);

static void start_player(struct player *pl)
{
	sem_init(&pl->baton, 0, 0);
	pl->on = true;
	if (pthread_create(&pl->id, NULL, play_part, pl))
		_exit(1);
}

/* All notes of this thread up to the next of another one; then the baton is its. */
static void play_on(struct player *self)
{
	const struct score_note *notes = rehearse_notes(head);
	struct score_heard *heard = rehearse_heard(head);

	while (at < head->nr_notes && &players[notes[at].thread] == self) {
		play_note(&notes[at], &heard[at]);
		at++;
	}
}

/* Of the threads: one baton after the other; the first thread hands them out. */
static void *play_part(void *arg)
{
	struct player *self = arg;

	for (;;) {
		sem_wait(&self->baton);
		play_on(self);
		sem_post(&players[0].baton);
		if (at > self->last)
			return NULL;
	}
}

static void let_play(struct player *pl)
{
	if (!pl->on)
		start_player(pl);
	sem_post(&pl->baton);
	sem_wait(&players[0].baton);
	if (at > pl->last)
		pthread_join(pl->id, NULL);
}

static void *pages(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(1);
	return p;
}

static void open_score(void)
{
	off_t size = lseek(REHEARSE_FD, 0, SEEK_END);
	uint64_t i;

	head = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED,
		    REHEARSE_FD, 0);
	if (head == MAP_FAILED)
		_exit(1);
	slots = pages(head->nr_slots * sizeof(*slots));
	players = pages(head->nr_threads * sizeof(*players));
	for (i = 0; i < head->nr_notes; i++)
		players[rehearse_notes(head)[i].thread].last = i;
	sem_init(&players[0].baton, 0, 0);
	head->brk = (uint64_t)sbrk(0);
}

int main(void)
{
	open_score();
	while (at < head->nr_notes) {
		const struct score_note *n = &rehearse_notes(head)[at];

		if (n->thread)
			let_play(&players[n->thread]);
		else
			play_on(&players[0]);
	}
	head->done = 1;
	_exit(0);
}
