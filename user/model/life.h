/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Births and deaths of chunks in an order in which they make sense.
 *
 * Each thread's events are in order, and stamps order the rest, but among the
 * events of several threads with an equal stamp nothing says which came first.
 * What is certain is that at each address birth and death alternate. So an event
 * that does not fit yet (a birth where a chunk lives, a death where none does)
 * waits at its address, and with it the thread's later ones at the same address,
 * until another thread's event makes it fit. Nothing else waits.
 *
 *   thread 1:  free(x)                    thread 2 was read first: its malloc
 *   thread 2:            x = malloc()     waits until thread 1's free is read
 *
 * Greedy as this is, it cannot go wrong, because a whole life (birth and death)
 * that comes too late can have been lived any time before: it cancels out. What
 * lives at the end of a stamp is decided by how many births and deaths there
 * were, and the order within is only told apart as far as it matters.
 */
#ifndef MODEL_LIFE_H
#define MODEL_LIFE_H

#include "model/chunk.h"
#include "model/hash.h"
#include "model/tally.h"

struct lives {
	struct hash knots; /* mm, address -> who waits there */
	uint64_t oldest; /* no knot is older than this stamp */
	uint64_t waited, in_vain; /* events, in all */
};

enum life { LIFE_DONE = 0, LIFE_WAITS = 1 };

/* A chunk is born. LIFE_DONE, LIFE_WAITS, or -EINVAL (its address), -ENOMEM. */
int life_birth(struct lives *l, struct book *b, const struct chunk *c);
/*
 * One dies, by thread, stamp and function of *c, at its address: *c becomes the
 * chunk that died if it is LIFE_DONE. Counts what a free gives back, whenever
 * it is known.
 */
int life_death(struct lives *l, struct book *b, struct chunk *c);
/* Its realloc failed: it did not die. False: the death did not wait. */
bool life_not_dead(struct lives *l, struct book *b, uint64_t addr, uint32_t tid);
/*
 * Every event with a smaller stamp has been seen. What waits with such a stamp
 * waits in vain: a birth is right, and what lives in its place is dead; a death
 * is one of an unknown chunk. 0 or -ENOMEM.
 */
int life_settle(struct lives *l, uint64_t stamp);
void lives_destroy(struct lives *l);

#endif
