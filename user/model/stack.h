/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The stacks that calls name, each once. What a target tells is bounded: beyond
 * STACKS_FRAMES frames nothing is kept any more, and counted.
 */
#ifndef MODEL_STACK_H
#define MODEL_STACK_H

#include "model/hash.h"
#include "model/model.h"

#define STACKS_FRAMES (32u << 20) /* 256 MiB */

struct stacks {
	struct hash by_id;
	uint64_t frames; /* in all */
	uint64_t refused;
};

/* 0, -EINVAL (no stack), -ENOMEM. What is known already is no error. */
int stacks_add(struct stacks *s, const struct event *ev);
/* NULL: `caller` is no stack, or one that is not known. */
const struct stack *stacks_get(const struct stacks *s, uint64_t caller);
void stacks_destroy(struct stacks *s);

#endif
