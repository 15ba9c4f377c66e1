/* SPDX-License-Identifier: GPL-2.0 */
/* What was allocated from which place, a row each: what the views of stacks show. */
#ifndef OUTPUT_ROWS_H
#define OUTPUT_ROWS_H

#include "model/hash.h"
#include "output/output.h"

/* A place: a stack, or a return address alone. */
struct stack_row {
	uint64_t where; /* as a chunk's caller; CALLER_STACK: a stack not known */
	uint64_t live_bytes, live_chunks;
	uint64_t allocs,
		asked; /* 0 where it is an address: not counted by it */
};

struct stack_rows {
	struct stack_row *at;
	size_t nr, room;
	struct hash index; /* where -> place in `at` + 1, until they are sorted */
};

/* The rows of a space, into zeroed *r, to be freed on an error too. 0 or -ENOMEM. */
int stack_rows_add(const struct output *o, const struct space *s,
		   struct stack_rows *r);
void stack_rows_free(struct stack_rows *r);
/* Most first. */
void stack_rows_sort(struct stack_rows *r, enum stack_order by);
uint64_t stack_row_value(const struct stack_row *r, enum stack_order by);

#endif
