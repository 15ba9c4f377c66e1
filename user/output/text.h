/* SPDX-License-Identifier: GPL-2.0 */
/* The pieces that all views are made of. */
#ifndef OUTPUT_TEXT_H
#define OUTPUT_TEXT_H

#include <jansson.h>

#include "output/output.h"

/* KiB, as pmap prints them: "132", and one decimal only when there is a part. */
const char *kib(uint64_t bytes, char buf[32]);
/* Exact, with the largest unit that is: "132K", "2M", "400". */
void put_size(FILE *f, uint64_t bytes);
/* A name that came from outside, with its control characters as \ooo. */
void put_name(FILE *f, const char *name);
/* Seconds since the watch began, "0.001234"; what was before is "before". */
void put_time(const struct output *o, FILE *f, uint64_t ts);
/* "rw-p" */
const char *perms(const struct vma_desc *d, char buf[5]);
/* "[heap]", a path, "" */
const char *vma_name(const struct output *o, const struct space *s,
		     const struct vma *v);

/* "malloc(400)", "free(0x55...)" */
void put_call(FILE *f, enum call_op op, uint64_t addr, uint64_t size);
/* "main+0x12 (a.out)", for a return address; "?" for 0. */
void put_caller(const struct output *o, const struct space *s, FILE *f,
		uint64_t caller);
/* The same for an instruction pointer. */
void put_code(const struct output *o, const struct space *s, FILE *f,
	      uint64_t ip);
/* The frames of a caller that is a stack, a line each; of another one nothing. */
void put_stack(const struct output *o, const struct space *s, FILE *f,
	       uint64_t caller);
/* "COMM;OUTERMOST;...;INNERMOST NUMBER", a line for flame graphs. */
void put_folded(const struct output *o, const struct space *s, uint64_t caller,
		uint64_t number);
/* "1 address space, 30 VMAs, 200 chunks of 12.0 KiB": what a trace begins with. */
void put_beginning(FILE *f, const struct output_beginning *b);
/* "brk in malloc(400) from main+0x12 (a.out)", "exec", "stack growth" */
void put_cause(const struct output *o, const struct space *s, FILE *f,
	       const struct cause *c);
/* Where there is no system call: "stack growth"; "syscall" where there is. */
const char *cause_name(enum cause_kind kind);
/* "grew", "new" */
const char *vma_change_name(enum vma_change_kind kind);
/* The same as malloc'ed strings; NULL: no memory. */
char *caller_text(const struct output *o, const struct space *s,
		  uint64_t caller);
char *cause_text(const struct output *o, const struct space *s,
		 const struct cause *c);

/* "jemalloc, /usr/lib/libjemalloc.so.2", "musl, by its books ...", "opaque ..." */
void put_allocator(FILE *f, const char *kind, const char *file, bool is_static);
/* "process 12 (python3)" */
void put_process(FILE *f, const struct space *s);
const char *plural(uint64_t n); /* "" or "s" */
/* An array in another order, malloc'ed; NULL when nr is 0, or there is no memory. */
void *sorted_copy(const void *array, size_t nr, size_t size,
		  int (*cmp)(const void *, const void *));

/*
 * --- JSON. Addresses are strings ("0x7f..."), bytes and counts numbers, times
 * CLOCK_MONOTONIC ns, what is not known null. NULL: no memory.
 *
 * A cause: {kind: attach|syscall|fault|exec|fork|late|sampled|other, ts (sampled:
 *   when it was first seen so), tgid, tid, syscall: null | {name, args: [6
 *   addresses]}, call: null | {op, caller, size, or addr for a free}}
 * A caller: null | {addr, symbol}
 * A stack: null | {id, truncated, frames: [ {addr, symbol, inlined: [names, the
 *   innermost first]}, the innermost first ]}
 */

json_t *json_addr(uint64_t addr); /* "0x55..." */
json_t *json_u64(uint64_t n);
json_t *json_name(const char *s); /* what is no UTF-8 becomes "?" */
/*
 * null (not looked for), or {name ("": none known here), file (null: opaque; with a name:
 * no symbol tells, but its books in memory), static}
 */
json_t *json_allocator(const struct space *s);
/* What was found in malloc's own books, and when: whole lines. */
void put_found(const struct output *o, const struct space *s, FILE *f);
/*
 * null: there was no look, or { at (null: never), walked, failed (the last one),
 * looks, chunks, bytes, undecided, wrong }; the four are null when walked
 */
json_t *json_found(const struct space *s);
json_t *json_caller(const struct output *o, const struct space *s,
		    uint64_t caller);
json_t *json_code(const struct output *o, const struct space *s, uint64_t ip);
json_t *json_stack(const struct output *o, const struct space *s,
		   uint64_t caller);
json_t *json_cause(const struct output *o, const struct space *s,
		   const struct cause *c);
/* The object `totals` of maps --json. */
json_t *json_totals(const struct space *s);
/* One of the `spaces` of report --json; without `callers` no symbol is looked for. */
json_t *json_books(const struct output *o, const struct space *s, bool callers);
/* An element of `vmas` of maps --json: the i-th VMA. */
json_t *json_maps_vma(const struct output *o, const struct space *s, size_t i);
/* Prints (indented, or one line) and frees. 0 or -errno. */
int json_print(const struct output *o, json_t *root, bool line);

/* What stdio kept silent about so far: 0 or -errno. */
int output_status(FILE *f);

#endif
