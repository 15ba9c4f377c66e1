/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The shim that is injected (probe/inject.h), as bytes for one address. It is a
 * part of this program.
 */
#ifndef INTAKE_INJECT_IMAGE_H
#define INTAKE_INJECT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct image {
	unsigned char *bytes; /* malloc'ed; as it lies in memory */
	uint64_t at; /* where in the target */
	size_t size; /* bytes, a multiple of pages */
	size_t text, text_size; /* the part that is executable */
	size_t data, data_size; /* the part that is writable, with .bss */
};

struct image_function {
	const char *name;
	uint64_t hook; /* address in the target */
	size_t next; /* offset of the pointer to the original */
	bool is_own; /* calls within the object that defines it are its own affair */
};

/*
 * Makes the image for address `at`. resolve() finds a function of the target's
 * libc (0: it has none). 0; -ENOEXEC: the target lacks something.
 */
int image_make(struct image *im, uint64_t at,
	       uint64_t (*resolve)(void *ctx, const char *name), void *ctx);
void image_free(struct image *im);
/* Offset of a symbol in the image; 0: there is none. */
size_t image_symbol(const struct image *im, const char *name);
/* The i-th function that it stands for; false: there are no more. */
int image_function(const struct image *im, size_t i, struct image_function *f);

#endif
