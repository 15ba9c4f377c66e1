// SPDX-License-Identifier: GPL-2.0
/*
 * Slots: which thread writes into which ring.
 *
 * A thread gets a slot with its first event and gives it back as it ends; the
 * next thread that starts takes it over, ring and all, and says so in the
 * stream (CTRL_TID). Events after the end of a thread (in other libraries' key
 * destructors) borrow a slot for one call. The list of free slots has the only
 * lock of the shim; nothing else is done under it.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "probe/shim.h"
#include "probe/shim_stack.h"
#include "probe/shim_sys.h"

/* A libc before 2.34 has it in another library, which may not be there. */
#pragma weak pthread_key_create
#pragma weak pthread_setspecific

#define MAX_SLOTS 65536
#define STALL_NS 2000000000ull /* a daemon that takes nothing so long is gone */
#define WAIT_MIN_NS 2000000
#define WAIT_MAX_NS 50000000
/* At the tail, 10 to 50 ns each: in seccomp's strict mode there is no clock, either. */
#define GUARDED_LOOKS 100000000
#define RETRY_EVENTS 1000 /* until the next try when a ring could not be had */
#define NEVER (~0ull) /* no stamp and no caller has this value */
/* Words that each of two threads writes before it raises the stamp: TURN * 2 * 2 */
#define TURN 32

/* This is what fork wipes. */
struct process {
	uint32_t lock; /* protects `free`: 0 free, 1 held, 2 held and awaited */
	uint32_t pid; /* whose this is; 0: nobody's yet */
	uint32_t place; /* see shim_link.c */
	uint32_t nr_slots;
	uint32_t has_rings;
	uint32_t told_missing;
	uint32_t flags; /* of every request: a forked copy has none */
	uint32_t retry; /* events until the next try to get a ring */
	uint64_t *stamp;
	struct rules *rules; /* NULL: no stacks, so far */
	uint64_t lost; /* events of threads that had no ring */
	struct slot *free;
	struct slot slots[] __attribute__((aligned(64)));
};
_Static_assert(offsetof(struct process, place) == INJECT_PROCESS_PLACE &&
		       offsetof(struct process, lost) == INJECT_PROCESS_LOST,
	       "the injector knows them");

enum shim_state shim_state;
bool shim_silent; /* shim_state is SHIM_SILENT */
struct exit_key exit_key;
bool shim_guarded; /* forked copies are as well */
static struct process *process;
static char sock_path[108];
static int
	missing; /* -errno: as slot_missing() was told, here or before a fork */
static int no_ring; /* -errno: why the last one that was asked for was not had */

#ifndef SHIM_INJECTED
__thread struct slot *my_slot __attribute__((tls_model("initial-exec")));
__thread bool thread_ended __attribute__((tls_model("initial-exec")));
#endif
/* The slot of a thread whose ring was detached. */
static struct slot dead_slot;

static void set_silent(void)
{
	shim_silent = true;
	__atomic_store_n(&shim_state, SHIM_SILENT, __ATOMIC_RELEASE);
}

/* Unless the injector has made us silent as we started: then it stays so. */
static void set_started(enum shim_state now)
{
	enum shim_state was = SHIM_STARTING;

	if (__atomic_compare_exchange_n(&shim_state, &was, now, false,
					__ATOMIC_RELEASE, __ATOMIC_RELAXED) &&
	    now == SHIM_SILENT)
		shim_silent = true;
}

static uintptr_t stack_pointer(void)
{
	uintptr_t sp;

	__asm__ volatile("mov %%rsp, %0" : "=r"(sp));
	return sp;
}

/* The mutex of Drepper's "Futexes Are Tricky", section 5. */
static void list_lock(void)
{
	uint32_t was = 0;

	if (__atomic_compare_exchange_n(&process->lock, &was, 1, false,
					__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(&process->lock, 2, __ATOMIC_ACQUIRE))
		sys_futex_wait(&process->lock, 2, WAIT_MAX_NS);
}

static void list_unlock(void)
{
	if (__atomic_exchange_n(&process->lock, 0, __ATOMIC_RELEASE) == 2)
		sys_futex_wake(&process->lock);
}

static void slot_release(struct slot *s)
{
	s->limit = s->walk_limit = 0;
	s->quiet = 0;
	list_lock();
	s->next = process->free;
	process->free = s;
	list_unlock();
}

/* A slot from the list, one with a ring if there is any. NULL: none. */
static struct slot *slot_reuse(void)
{
	struct slot **at, **take = NULL, *s = NULL;

	list_lock();
	for (at = &process->free; *at; at = &(*at)->next) {
		take = at;
		if ((*at)->ring)
			break;
	}
	if (take) {
		s = *take;
		*take = s->next;
	}
	list_unlock();
	return s;
}

static struct slot *slot_new(void)
{
	uint32_t n =
		__atomic_fetch_add(&process->nr_slots, 1, __ATOMIC_RELAXED);

	return n < MAX_SLOTS ? &process->slots[n] : NULL;
}

/*
 * May a later try succeed? What was heard once is still listened to, perhaps, though its
 * place cannot be seen from here (chroot): such calls are missing, unless the daemon
 * says itself that nobody wants them.
 */
static bool is_passing(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM ||
	       err == -ENOBUFS || err == -EAGAIN ||
	       (process->has_rings && err != -ESRCH);
}

/* Two threads may map it at the same time; the second one's is removed again. */
static struct rules *get_rules(void)
{
	struct rules *none = NULL, *r;

	if (__atomic_load_n(&process->rules, __ATOMIC_ACQUIRE))
		return process->rules;
	r = link_memory(rules_bytes(), &process->place);
	if (r &&
	    !__atomic_compare_exchange_n(&process->rules, &none, r, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		link_unmap(r, rules_bytes());
		return process->rules;
	}
	return r;
}

static void tell_missing(void)
{
	if (missing &&
	    !__atomic_exchange_n(&process->told_missing, 1, __ATOMIC_RELAXED))
		link_none(sock_path, missing);
}

static int slot_link(struct slot *s)
{
	int err = link_ring(sock_path, process->flags, s, &process->stamp,
			    &process->place);

	if (err)
		return err;
	s->stamp = process->stamp;
	s->told_tid = s->tid;
	s->ts = s->alloc_caller = s->free_caller = NEVER;
	s->stack_bytes = s->ring->stack_bytes;
	if (s->stack_bytes && get_rules())
		s->walker = link_memory(sizeof(*s->walker), &process->place);
	process->has_rings = 1;
	tell_missing();
	return 0;
}

/*
 * In a vfork child this is the parent's memory, but a ring that the child asked
 * for would be the child's, and vanish with it. (Of a forked copy, whose memory is
 * wiped, the first one that asks is taken for the process.)
 */
static bool is_own_process(void)
{
	uint32_t pid = sys_getpid();

	if (!process->pid)
		process->pid = pid;
	return process->pid == pid;
}

static struct slot *slot_acquire(void)
{
	struct slot *s;
	int err;

	if (shim_guarded || !is_own_process() ||
	    (process->retry && --process->retry))
		return NULL;
	s = slot_reuse();
	if (!s)
		s = slot_new();
	if (!s)
		return NULL;
	s->tid = sys_gettid();
	err = s->ring ? 0 : slot_link(s);
	if (!err && s->walker)
		walker_reset(s->walker, process->rules);
	if (!err)
		return s;
	slot_release(s);
	no_ring = err;
	if (is_passing(err))
		process->retry = RETRY_EVENTS;
	else
		set_silent();
	return NULL;
}

/* Looks how far the reader is. True: the slot can take an event. */
static bool slot_look(struct slot *s)
{
	uint64_t tail = __atomic_load_n(&s->ring->tail, __ATOMIC_ACQUIRE);

	if (tail < s->from) /* it reads what a smaller level holds */
		tail = s->from;
	s->room = tail + s->mask + 1 - SLOT_RESERVE;
	if (s->head - tail > s->mask + 1) /* nonsense: as if full */
		s->room = 0;
	return s->head < s->room;
}

static bool slot_detached(const struct slot *s)
{
	return __atomic_load_n(&s->ring->detached, __ATOMIC_RELAXED);
}

/*
 * The ring is full: waits until the reader has made room. False: it is gone, or
 * has taken nothing for STALL_NS.
 */
static bool slot_wait(struct slot *s)
{
	struct ring_header *ring = s->ring;
	uint64_t since = sys_now(), room = s->room;
	long slice = WAIT_MIN_NS;

	for (;;) {
		uint32_t seen;

		__atomic_store_n(&ring->waiting, 1, __ATOMIC_SEQ_CST);
		seen = __atomic_load_n(&ring->wakeups, __ATOMIC_SEQ_CST);
		if (slot_look(s))
			return true;
		if (slot_detached(s))
			return false;
		link_knock(sock_path);
		if (s->room != room) {
			room = s->room;
			since = sys_now();
		} else if (sys_now() - since > STALL_NS) {
			return false;
		}
		sys_futex_wait(&ring->wakeups, seen, slice);
		slice = slice * 2 < WAIT_MAX_NS ? slice * 2 : WAIT_MAX_NS;
	}
}

/* The same without a system call. */
static bool slot_wait_guarded(struct slot *s)
{
	uint32_t n;

	for (n = 0; n < GUARDED_LOOKS && !slot_detached(s); n++) {
		if (slot_look(s))
			return true;
		__builtin_ia32_pause();
	}
	return false;
}

/* The ring is full: makes it larger. False: it is as large as it can be. */
static bool slot_grow(struct slot *s)
{
	uint32_t level = s->ring->level;

	if (level + 1 >= s->ring->levels)
		return false;
	s->from = s->head;
	s->ring->grown[level] = s->head;
	__atomic_store_n(&s->ring->level, level + 1, __ATOMIC_RELEASE);
	link_level(s);
	return slot_look(s);
}

static bool slot_make_room(struct slot *s)
{
	if (slot_look(s)) {
		s->gave_up = false;
		return true;
	}
	if (!slot_detached(s) && slot_grow(s))
		return true;
	if (s->gave_up || !(s->ring->flags & RING_BLOCK) || slot_detached(s))
		return false;
	s->gave_up = shim_guarded ? !slot_wait_guarded(s) : !slot_wait(s);
	return !s->gave_up;
}

static void ring_lose(struct ring_header *ring, uint64_t events)
{
	__atomic_fetch_add(&ring->lost, events, __ATOMIC_RELAXED);
}

static void slot_put_ctrl(struct slot *s, enum word_ctrl what, uint64_t value)
{
	s->data[s->head++ & s->mask] = word_ctrl(what, value);
}

/* What the reader must know before the next event. */
static void slot_put_ctrls(struct slot *s)
{
	uint64_t lost = __atomic_load_n(&process->lost, __ATOMIC_RELAXED);

	if (s->lost)
		slot_put_ctrl(s, CTRL_LOST, s->lost);
	s->lost = 0;
	if (s->told_tid != s->tid) {
		slot_put_ctrl(s, CTRL_TID, s->tid);
		s->told_tid = s->tid;
		s->ts = s->alloc_caller = s->free_caller = NEVER;
	}
	if (lost) {
		lost = __atomic_exchange_n(&process->lost, 0, __ATOMIC_RELAXED);
		ring_lose(s->ring, lost);
		slot_put_ctrl(s, CTRL_LOST, lost);
	}
	__atomic_store_n(&s->ring->head, s->head, __ATOMIC_RELEASE);
}

/*
 * Events with equal stamps are in no order among threads, so the threads raise
 * it by one now and then, which keeps that set small. It stays behind the clock
 * that the kernel's records have, for a turn takes longer than a nanosecond, and
 * what is read of it stays true: whoever saw the other's doing sees a stamp that
 * is not smaller. Turns grow with the square of the threads, so that the words
 * that say that the stamp has moved remain a small part of what each one writes.
 */
static void slot_take_turn(struct slot *s)
{
	uint64_t threads =
		__atomic_load_n(&process->nr_slots, __ATOMIC_RELAXED);
	uint64_t turn = TURN * threads * threads;

	s->gate = s->room;
	if (threads < 2)
		return;
	__atomic_fetch_add(s->stamp, 1, __ATOMIC_ACQ_REL);
	if (turn < s->room - s->head)
		s->gate = s->head + turn;
}

/* Where there are stacks, no call may take the fast path. */
static void slot_open_gate(struct slot *s)
{
	if (s->walker) {
		s->walk_limit = s->gate;
		s->gate = 0;
	}
	s->limit = s->gate;
}

void slot_lose(struct slot *s)
{
	s->lost++;
	ring_lose(s->ring, 1);
}

/*
 * True: s can take an event. A slot is quiet while a function runs that may call
 * others of ours to do its work (quiet_begin() in shim.c); those have deeper
 * stack frames. When the frame is not deeper the function was left by longjmp.
 */
static bool slot_ready(struct slot *s)
{
	if (s->quiet && stack_pointer() < s->quiet) {
		s->called_us = true;
		return false;
	}
	s->quiet = 0;
	if (s->head >= s->room && !slot_make_room(s)) {
		slot_lose(s);
		if (slot_detached(s) && s == slot_mine())
			slot_keep(&dead_slot);
		return false;
	}
	slot_put_ctrls(s);
	slot_take_turn(s);
	slot_open_gate(s);
	return true;
}

/* --- stacks */

void slot_unloaded(void)
{
	if (__atomic_load_n(&shim_state, __ATOMIC_ACQUIRE) == SHIM_ACTIVE &&
	    process->rules)
		rules_expire(process->rules);
}

static bool wants_stack(struct slot *s, uint64_t bytes)
{
	struct walker *w = s->walker;
	int64_t every = (int64_t)s->stack_bytes;

	if (every == 1)
		return true;
	if (bytes > INT64_MAX / 2)
		bytes = INT64_MAX / 2;
	if (!w->left)
		w->left = every;
	w->left -= (int64_t)bytes;
	if (w->left > 0)
		return false;
	w->left = every - -w->left % every;
	return true;
}

/* Its words, and the reader may see them, before anybody can name it. */
static __attribute__((noinline)) void slot_tell_stack(struct slot *s)
{
	const struct walker *w = s->walker;
	uint32_t i;

	slot_put_ctrl(s, CTRL_STACK,
		      w->nr | (w->truncated ? STACK_TRUNCATED : 0));
	for (i = w->nr; i-- > 0;)
		s->data[s->head++ & s->mask] = w->frames[i].pc;
	__atomic_store_n(&s->ring->head, s->head, __ATOMIC_RELEASE);
	stack_set_told(w->rules, w->id);
}

uint64_t slot_where(struct slot *s, uint64_t caller, uint64_t bytes,
		    const uint64_t *fp)
{
	uint64_t id;

	if (!s->walker || !wants_stack(s, bytes))
		return caller;
	id = walk(s->walker, caller, fp,
		  __atomic_load_n(s->stamp, __ATOMIC_ACQUIRE));
	if (!id)
		return caller;
	if (id != s->alloc_caller && !stack_told(s->walker->rules, id))
		slot_tell_stack(s);
	return id;
}

/*
 * Other destructors may still free what they hold, so this one waits for the
 * last round (pthread_key_create(3)).
 */
static void thread_exit(void *round)
{
	uintptr_t n = (uintptr_t)round;
	struct slot *s = slot_mine();

	if (n < PTHREAD_DESTRUCTOR_ITERATIONS) {
		pthread_setspecific(exit_key.key, (void *)(n + 1));
		return;
	}
	slot_end_thread();
	if (s && s != &dead_slot && s->ring)
		slot_release(s);
}

static void get_process(void)
{
	if (!process)
		process = link_wiped_memory(sizeof(*process) +
					    MAX_SLOTS * sizeof(struct slot));
}

/* Gets what a process needs once. An injected shim keeps its key for the next time. */
static void start(void)
{
	enum shim_state was = SHIM_NEW, now = SHIM_SILENT;
	const char *path;

	if (!__atomic_compare_exchange_n(&shim_state, &was, SHIM_STARTING,
					 false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		return;
	path = next_start();
	walk_init();
	if (path && *path && strlen(path) < sizeof(sock_path)) {
		strcpy(sock_path, path);
		get_process();
		if (!exit_key.made && pthread_key_create)
			exit_key.made =
				!pthread_key_create(&exit_key.key, thread_exit);
		if (process) {
			process->flags = next_flags;
			now = SHIM_ACTIVE;
		} else {
			link_none(sock_path, -ENOMEM);
		}
	}
	set_started(now);
}

bool slot_active(void)
{
	if (__atomic_load_n(&shim_state, __ATOMIC_ACQUIRE) == SHIM_NEW)
		start();
	return __atomic_load_n(&shim_state, __ATOMIC_ACQUIRE) == SHIM_ACTIVE;
}

void slot_missing(int err)
{
	int saved = errno;

	missing = err;
	if (slot_active())
		tell_missing();
	errno = saved;
}

/*
 * An event of a thread that has no ring. The next one of another thread tells of it; a
 * guarded process says no goodbye, so what a ring's header has counted must do.
 */
static void lose_unheard(void)
{
	if (shim_guarded && process->slots[0].ring)
		ring_lose(process->slots[0].ring, 1);
	else
		__atomic_fetch_add(&process->lost, 1, __ATOMIC_RELAXED);
}

/* Nobody else will tell of them. */
static void tell_unheard(void)
{
	uint64_t lost =
		__atomic_exchange_n(&process->lost, 0, __ATOMIC_RELAXED);

	if (process->slots[0].ring)
		ring_lose(process->slots[0].ring, lost);
	else if (lost && !shim_guarded && is_own_process())
		link_none(sock_path, no_ring);
}

static struct slot *slot_find(struct slot_loan *loan)
{
	struct slot *s = slot_mine();

	if (!slot_active() || s == &dead_slot)
		return NULL;
	if (!s || !s->ring) {
		s = slot_acquire();
		if (!s) {
			lose_unheard();
			return NULL;
		}
		loan->borrowed = !slot_keep(s);
		if (!loan->borrowed && exit_key.made)
			pthread_setspecific(exit_key.key, (void *)1);
	}
	loan->slot = s;
	return slot_ready(s) ? s : NULL;
}

struct slot *slot_get(struct slot_loan *loan)
{
	int saved = errno;
	struct slot *s;

	loan->slot = NULL;
	loan->borrowed = false;
	s = slot_find(loan);
	errno = saved;
	return s;
}

void slot_put(struct slot_loan *loan)
{
	if (loan->borrowed)
		slot_release(loan->slot);
}

void slot_guard(void)
{
	struct slot_loan loan;

	slot_get(&loan); /* the thread's ring, as long as it can be had */
	slot_put(&loan);
	/* (A vfork child has its parent's memory, and a filter of its own.) */
	if (slot_active() && is_own_process())
		shim_guarded = true;
}

/*
 * Who loads us is the process: the first one that calls may be its vfork child. (What is
 * injected has no constructors.)
 */
__attribute__((constructor)) static void process_start(void)
{
	const char *path = getenv(SHIM_SOCK_ENV);

	if (path && *path)
		get_process();
	if (process && !process->pid)
		process->pid = sys_getpid();
}

/*
 * Only the process that did a handshake says goodbye: a vfork child that calls
 * exit() would else speak for its parent. And a process in which nobody has ever
 * called us, for its VMAs can be compared as any other's.
 */
__attribute__((destructor)) static void process_exit(void)
{
	bool first = shim_state == SHIM_NEW;
	int saved = errno;

	if (slot_active()) {
		tell_unheard();
		if (!shim_guarded && (first || (process->has_rings &&
						process->pid == sys_getpid())))
			link_bye(sock_path);
	}
	errno = saved;
}
