/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the libFuzzer targets share. A target includes the source that it is
 * about, so that it reaches its static functions. Input that a decoder accepts
 * is read to its last byte, so that the sanitizers see every pointer.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Holds also where NDEBUG is set, and names what was violated. */
#define MUST(cond)                                                       \
	do {                                                             \
		if (!(cond)) {                                           \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, \
				__LINE__, #cond);                        \
			abort();                                         \
		}                                                        \
	} while (0)

/* The input, taken from the front. What is not there is 0. */
struct input {
	const uint8_t *p;
	size_t left;
};

static inline size_t input_bytes(struct input *in, void *to, size_t n)
{
	size_t have = n < in->left ? n : in->left;

	memset(to, 0, n);
	if (have)
		memcpy(to, in->p, have);
	in->p += have;
	in->left -= have;
	return have;
}

static inline uint8_t input_u8(struct input *in)
{
	uint8_t v;

	input_bytes(in, &v, sizeof(v));
	return v;
}

static inline uint16_t input_u16(struct input *in)
{
	uint16_t v;

	input_bytes(in, &v, sizeof(v));
	return v;
}

static inline uint64_t input_u64(struct input *in)
{
	uint64_t v;

	input_bytes(in, &v, sizeof(v));
	return v;
}

static volatile uint8_t fuzz_sink;

static inline void read_all(const void *p, size_t bytes)
{
	const uint8_t *b = p;
	uint8_t sum = 0;

	while (bytes--)
		sum ^= *b++;
	fuzz_sink = sum;
}

/* Everything that an event of the module points at. */
static inline void read_event(const struct event *ev)
{
	switch (ev->kind) {
	case EV_MM:
		read_all(ev->mm_start.comm, strlen(ev->mm_start.comm) + 1);
		break;
	case EV_RANGE:
		read_all(ev->range.vmas,
			 ev->range.nr_vmas * sizeof(*ev->range.vmas));
		break;
	case EV_FILE:
		read_all(ev->file.path, strlen(ev->file.path) + 1);
		break;
	default:
		break;
	}
}

#endif
