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
 * were. Which of several lives at an address was the last is not always decided
 * (two threads that both ended with a birth there, in one stamp): then one of
 * them is taken, and its size and caller may be the other one's.
 */
#ifndef MODEL_LIFE_H
#define MODEL_LIFE_H

#include "model/chunk.h"
#include "model/hash.h"
#include "model/tally.h"

struct lives {
	struct hash knots; /* mm, address -> who waits there */
	uint64_t last_stamp, last_waited; /* as of the last life_settle() */
	uint64_t newest; /* stamp of what was seen */
	uint64_t waited, in_vain; /* events, in all */
};

struct life {
	struct chunk *
		c; /* born: the chunk; dying: its address, in the end the chunk */
	uint64_t ts; /* when, by whom, in which function */
	uint32_t tid;
	enum call_op op;
	/*
	 * Of a death, may be NULL: becomes the chunk that died as soon as it is
	 * known which; with addr 0 when there was none.
	 */
	struct chunk *fate;
};

enum life_result { LIFE_DONE = 0, LIFE_WAITS = 1 };

/* An event of this stamp is seen. (Births and deaths tell it themselves.) */
static inline void life_see(struct lives *l, uint64_t stamp)
{
	if (stamp > l->newest)
		l->newest = stamp;
}

/* A chunk is born. LIFE_DONE, LIFE_WAITS, or -EINVAL (its address), -ENOMEM. */
int life_birth(struct lives *l, struct book *b, struct life *e);
/*
 * One dies. What a free gives back is counted, whenever it is known. When it
 * waits, *e->c is as it was.
 */
int life_death(struct lives *l, struct book *b, struct life *e);
/* A realloc that waits failed: it did not die. False: its fate is known already. */
bool life_not_dead(struct lives *l, struct book *b, uint64_t addr,
		   uint32_t tid);
/* Nobody asks for the fate any more. */
void life_forget_fate(struct lives *l, struct book *b, uint64_t addr,
		      uint32_t tid);
/*
 * Every event with a smaller stamp has been seen, and there were no greater ones
 * yet. What waits with a smaller stamp waits in vain: a birth is right, and what lives at its address is dead; a
 * death is one of an unknown chunk. 0 or -ENOMEM.
 */
int life_settle(struct lives *l, uint64_t stamp);
void lives_destroy(struct lives *l);

#endif
