// SPDX-License-Identifier: GPL-2.0
/*
 * vma_map: hand cases in a small notation, and random changes against a twin
 * that has one entry for each page.
 *
 * The notation: "10-20rw-25r, 200-210" is three VMAs, of pages 10 to 19 (read,
 * write), 20 to 24 (read), 200 to 209 (no access). Flags: r w x, s (shared),
 * l (locked), and fN, a mapping of file N whose offset is its page number; fN@P
 * begins at page P of the file. Changes are written as they are told.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/vma.h"
#include "seed.h"

#define PAGE 4096ull
#define MAX 512
#define NR_MMAP 9
#define NR_MPROTECT 10
#define NR_MUNMAP 11
#define NR_BRK 12
#define NR_MREMAP 25
#define MAP_FIXED_FLAG 0x10

/* --- notation */

static void parse_flags(const char **p, struct vma_desc *d)
{
	for (;; ++*p) {
		switch (**p) {
		case 'r':
			d->flags |= VMA_READ;
			continue;
		case 'w':
			d->flags |= VMA_WRITE;
			continue;
		case 'x':
			d->flags |= VMA_EXEC;
			continue;
		case 's':
			d->flags |= VMA_SHARED;
			continue;
		case 'l':
			d->flags |= VMA_LOCKED;
			continue;
		case 'f':
			d->flags |= VMA_FILE;
			d->offset = d->start;
			d->ino = strtoul(*p + 1, (char **)p, 10);
			if (**p == '@')
				d->offset =
					strtoul(*p + 1, (char **)p, 10) * PAGE;
			--*p;
			continue;
		}
		return;
	}
}

static size_t parse(const char *text, struct vma_desc *d)
{
	size_t n = 0;
	uint64_t start;

	while (*text) {
		start = strtoul(text, (char **)&text, 10);
		while (*text == '-') {
			d[n] = (struct vma_desc){ .start = start * PAGE };
			start = strtoul(text + 1, (char **)&text, 10);
			d[n].end = start * PAGE;
			parse_flags(&text, &d[n++]);
		}
		assert_true(*text == '\0' || *text == ',');
		text += strspn(text, ", ");
	}
	return n;
}

static void print_changes(char *to, size_t size, const struct vma_change *c,
			  size_t nr)
{
	static const char *const names[] = {
		[VMA_CREATED] = "created",     [VMA_REMOVED] = "removed",
		[VMA_GREW] = "grew",	       [VMA_SHRANK] = "shrank",
		[VMA_SPLIT] = "split",	       [VMA_MERGED] = "merged",
		[VMA_PROTECTED] = "protected", [VMA_MOVED] = "moved",
	};
	size_t n = 0;

	*to = '\0';
	for (size_t i = 0; i < nr; i++) {
		n += snprintf(to + n, size - n, "%s%s %llu-%llu", i ? ", " : "",
			      names[c[i].kind],
			      (unsigned long long)(c[i].start / PAGE),
			      (unsigned long long)(c[i].end / PAGE));
		if (c[i].kind == VMA_MOVED)
			n += snprintf(to + n, size - n, " from %llu",
				      (unsigned long long)(c[i].from / PAGE));
	}
}

/* --- causes: told apart by ts */

static struct cause *cause(uint64_t ts, int32_t nr, uint64_t a0, uint64_t a1,
			   uint64_t a2, uint64_t a3)
{
	struct cause *c = calloc(1, sizeof(*c));

	c->refs = 1;
	c->kind = nr < 0 ? CAUSE_FAULT : CAUSE_SYSCALL;
	c->ts = ts;
	c->tid = 1;
	c->syscall = nr;
	c->args[0] = a0;
	c->args[1] = a1;
	c->args[2] = a2;
	c->args[3] = a3;
	return c;
}

static void replace_all(struct vma_map *m, const char *text, struct cause *c,
			const char *changes)
{
	struct vma_change told[MAX];
	struct vma_desc d[MAX];
	char buf[4096];
	int nr = vma_map_replace(m, 0, 1000 * PAGE, d, parse(text, d), c, told,
				 MAX);

	assert_in_range(nr, 0, MAX);
	assert_null(vma_map_check(m));
	print_changes(buf, sizeof(buf), told, nr);
	assert_string_equal(buf, changes);
}

struct scene {
	struct vma_map *m;
	struct cause *first, *then;
};

/* From one state to another by one cause (which it takes), ts 2; the first state has ts 1. */
static struct scene play(const char *before, const char *after, struct cause *c,
			 const char *changes)
{
	struct scene s = { vma_map_new(), cause(1, -1, 0, 0, 0, 0), c };
	struct vma_desc d[MAX];
	int nr = vma_map_replace(s.m, 0, 1000 * PAGE, d, parse(before, d),
				 s.first, NULL, 0);

	assert_true(nr >= 0);
	replace_all(s.m, after, c, changes);
	return s;
}

static void expect_bytes(const struct scene *s, uint64_t mapped,
			 uint64_t unmapped, uint64_t changed)
{
	assert_int_equal(s->then->mapped, mapped * PAGE);
	assert_int_equal(s->then->unmapped, unmapped * PAGE);
	assert_int_equal(s->then->changed, changed * PAGE);
}

/* "1/2 1/1": who made and who changed last each VMA, by ts. */
static void expect_causes(const struct scene *s, const char *text)
{
	char buf[256] = "";
	size_t n = 0;

	for (size_t i = 0; i < vma_map_count(s->m); i++) {
		const struct vma *v = vma_map_at(s->m, i);

		n += snprintf(buf + n, sizeof(buf) - n, "%s%d/%d", i ? " " : "",
			      (int)v->made->ts, (int)v->changed->ts);
	}
	assert_string_equal(buf, text);
}

static void end(struct scene *s)
{
	vma_map_free(s->m);
	assert_int_equal(s->first->refs, 1);
	assert_int_equal(s->then->refs, 1);
	cause_put(s->first);
	cause_put(s->then);
}

static struct cause *by(int32_t nr)
{
	return cause(2, nr, 0, 0, 0, 0);
}

/* --- hand cases */

static void test_create_and_remove(void **state)
{
	struct scene s;

	(void)state;
	s = play("", "10-20rw", by(NR_MMAP), "created 10-20");
	expect_bytes(&s, 10, 0, 0);
	expect_causes(&s, "2/2");
	end(&s);
	s = play("10-20rw", "", by(NR_MUNMAP), "removed 10-20");
	expect_bytes(&s, 0, 10, 0);
	end(&s);
	s = play("10-20rw, 30-40r", "10-20rw, 30-40r", by(-1), "");
	expect_bytes(&s, 0, 0, 0);
	expect_causes(&s, "1/1 1/1");
	end(&s);
}

static void test_grow_and_shrink(void **state)
{
	struct scene s;

	(void)state;
	s = play("10-20rw, 30-40r", "10-25rw, 30-40r", by(NR_BRK),
		 "grew 20-25");
	expect_bytes(&s, 5, 0, 0);
	expect_causes(&s, "1/2 1/1");
	end(&s);
	s = play("10-20rw", "5-20rw", by(-1), "grew 5-10");
	end(&s);
	s = play("10-20rw", "10-15rw", by(NR_BRK), "shrank 15-20");
	expect_bytes(&s, 0, 5, 0);
	expect_causes(&s, "1/2");
	end(&s);
	s = play("10-20rw", "10-12rw, 15-20rw", by(NR_MUNMAP),
		 "split 10-12, shrank 12-15");
	expect_causes(&s, "1/2 1/2");
	end(&s);
	s = play("10-20rw, 25-30rw", "10-30rw", by(NR_MMAP),
		 "grew 20-25, merged 25-30");
	expect_bytes(&s, 5, 0, 0);
	end(&s);
}

static void test_protect(void **state)
{
	struct scene s;

	(void)state;
	s = play("10-20rw", "10-20r", by(NR_MPROTECT), "protected 10-20");
	expect_bytes(&s, 0, 0, 10);
	expect_causes(&s, "1/2");
	end(&s);
	s = play("10-40rw", "10-20rw-25r-40rw", by(NR_MPROTECT),
		 "split 10-20, protected 20-25, split 20-25");
	expect_bytes(&s, 0, 0, 5);
	end(&s);
	/* An arena grows into its reserve: a border moves, nothing splits. */
	s = play("10-20rw-90", "10-70rw-90", by(NR_MPROTECT),
		 "protected 20-70");
	expect_bytes(&s, 0, 0, 50);
	expect_causes(&s, "1/2 1/2");
	end(&s);
	s = play("10-20rw-90", "10-90rw", by(NR_MPROTECT),
		 "protected 20-90, merged 20-90");
	end(&s);
	/* mlock protects nothing, but it is told. */
	s = play("10-20rw", "10-20rwl", by(149), "protected 10-20");
	expect_bytes(&s, 0, 0, 0);
	end(&s);
}

static void add_protect(void *ctx, uint64_t bytes, const struct cause *c)
{
	char *text = ctx;

	sprintf(text + strlen(text), "%d:%d ", (int)c->ts, (int)(bytes / PAGE));
}

/* "2:10 3:5 ": whose protection lies on how many pages of 10 to 90. */
static void expect_protects(const struct vma_map *m, const char *text)
{
	char buf[256] = "";

	vma_map_protects(m, 10 * PAGE, 90 * PAGE, add_protect, buf);
	assert_string_equal(buf, text);
}

/* An arena's reserve, committed bit by bit, trimmed, and committed again. */
static void test_who_protected(void **state)
{
	struct cause *first = cause(1, NR_MMAP, 0, 0, 0, 0), *c;
	struct vma_map *m = vma_map_new();
	static const struct {
		const char *now, *protects;
		int32_t nr;
	} steps[] = {
		{ "10-20rw-90", "2:10 ", NR_MPROTECT },
		{ "10-50rw-90", "2:10 3:30 ", NR_MPROTECT },
		{ "10-40rw-90", "2:10 3:20 4:10 ", NR_MPROTECT },
		{ "10-30rw, 40-90", "2:10 3:10 4:10 ", NR_MUNMAP },
		{ "10-60rw-90", "2:10 3:10 6:20 ", NR_MPROTECT },
	};
	struct vma_desc d[MAX];

	(void)state;
	assert_true(vma_map_replace(m, 0, 1000 * PAGE, d, parse("10-90", d),
				    first, NULL, 0) >= 0);
	cause_put(first);
	expect_protects(m, "");
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		c = cause(2 + i, steps[i].nr, 0, 0, 0, 0);
		assert_true(vma_map_replace(m, 0, 1000 * PAGE, d,
					    parse(steps[i].now, d), c, NULL,
					    0) >= 0);
		cause_put(c);
		assert_null(vma_map_check(m));
		expect_protects(m, steps[i].protects);
	}
	vma_map_free(m);
}

static void test_replaced(void **state)
{
	struct scene s;

	(void)state;
	/* Another file, another offset, shared instead of private: new memory. */
	s = play("10-20rf1", "10-20rf2", by(NR_MMAP),
		 "removed 10-20, created 10-20");
	expect_bytes(&s, 10, 10, 0);
	expect_causes(&s, "2/2");
	end(&s);
	s = play("10-20rf1@3", "10-20rf1@4", by(NR_MMAP),
		 "removed 10-20, created 10-20");
	end(&s);
	s = play("10-20rw", "10-20rws", by(NR_MMAP),
		 "removed 10-20, created 10-20");
	end(&s);
	s = play("10-40rw", "10-20rw-25rf1-40rw", by(NR_MMAP),
		 "split 10-20, shrank 20-25, created 20-25");
	expect_bytes(&s, 5, 5, 0);
	expect_causes(&s, "1/2 2/2 1/2");
	end(&s);
	/* Parts of one file keep together. */
	s = play("10-20rf1", "10-12rf1-20rwf1", by(NR_MPROTECT),
		 "protected 12-20, split 12-20");
	end(&s);
}

static void test_map_fixed(void **state)
{
	struct cause *c =
		cause(2, NR_MMAP, 20 * PAGE, 5 * PAGE - 1, 3, MAP_FIXED_FLAG);
	struct scene s =
		play("10-40rw", "10-40rw", c, "shrank 20-25, grew 20-25");

	(void)state;
	expect_bytes(&s, 5, 5, 0);
	expect_causes(&s, "1/2");
	end(&s);
	c = cause(2, NR_MMAP, 20 * PAGE, 5 * PAGE, 3, MAP_FIXED_FLAG);
	s = play("10-20r-25rw", "10-20r-25rw", c,
		 "removed 20-25, created 20-25");
	expect_causes(&s, "1/1 2/2");
	end(&s);
}

static void test_mremap(void **state)
{
	struct cause *c =
		cause(2, NR_MREMAP, 10 * PAGE, 10 * PAGE, 20 * PAGE, 1);
	struct scene s;

	(void)state;
	s = play("10-20rw, 25-30r", "25-30r, 100-120rw", c,
		 "removed 10-20, moved 100-120 from 10");
	expect_bytes(&s, 20, 10, 0);
	expect_causes(&s, "1/1 1/2");
	end(&s);
	c = cause(2, NR_MREMAP, 10 * PAGE, 10 * PAGE, 20 * PAGE, 1);
	s = play("10-20rw", "10-30rw", c, "grew 20-30");
	end(&s);
	/* The new place merges with what was there: that one's creator stays. */
	c = cause(2, NR_MREMAP, 10 * PAGE, 10 * PAGE, 20 * PAGE, 1);
	s = play("10-20rw, 120-130rw", "100-130rw", c,
		 "removed 10-20, moved 100-120 from 10");
	end(&s);
}

/* A record in parts may tell of the old place first, and then of the new one. */
static void test_mremap_in_parts(void **state)
{
	struct cause *c =
		cause(2, NR_MREMAP, 10 * PAGE, 10 * PAGE, 10 * PAGE, 1);
	struct scene s = play("10-20rw", "", c, "removed 10-20");
	struct vma_desc d[MAX];

	(void)state;
	assert_int_equal(vma_map_replace(s.m, 100 * PAGE, 200 * PAGE, d,
					 parse("100-110rw", d), c, NULL, 0),
			 1);
	expect_causes(&s, "1/2");
	expect_bytes(&s, 10, 10, 0);
	end(&s);
}

static void test_cut_ends(void **state)
{
	struct scene s = play("10-40rwf1", "10-40rwf1", by(-1), "");
	struct cause *c = cause(3, NR_MMAP, 0, 0, 0, 0);
	struct vma_desc d[MAX];

	(void)state;
	assert_int_equal(vma_map_replace(s.m, 20 * PAGE, 25 * PAGE, d,
					 parse("21-22r", d), c, NULL, 0),
			 3);
	assert_null(vma_map_check(s.m));
	expect_causes(&s, "1/3 3/3 1/3");
	assert_int_equal(vma_map_at(s.m, 0)->d.end, 20 * PAGE);
	assert_int_equal(vma_map_at(s.m, 2)->d.start, 25 * PAGE);
	assert_int_equal(vma_map_at(s.m, 2)->d.offset, 25 * PAGE);
	end(&s);
	assert_int_equal(c->refs, 1);
	cause_put(c);
}

static void test_refused(void **state)
{
	struct vma_map *m = vma_map_new();
	struct cause *c = by(NR_MMAP);
	struct vma_desc d[MAX];

	(void)state;
#define REFUSED(lo, hi, text)                                             \
	assert_int_equal(vma_map_replace(m, lo, hi, d, parse(text, d), c, \
					 NULL, 0),                        \
			 -EINVAL)
	REFUSED(0, 100 * PAGE, "10-20, 15-30");
	REFUSED(0, 100 * PAGE, "10-20, 5-6");
	REFUSED(0, 100 * PAGE, "10-10");
	REFUSED(0, 100 * PAGE, "10-101");
	REFUSED(11 * PAGE, 100 * PAGE, "10-20");
	REFUSED(1, 100 * PAGE, "10-20");
	REFUSED(100 * PAGE, 0, "");
	assert_int_equal(vma_map_count(m), 0);
	assert_int_equal(c->refs, 1);
	/* More changes than there is room for are counted. */
	struct vma_change one;
	assert_int_equal(vma_map_replace(m, 0, 100 * PAGE, d,
					 parse("1-2, 3-4, 5-6", d), c, &one, 1),
			 3);
	assert_int_equal(one.start, PAGE);
	vma_map_free(m);
	cause_put(c);
}

static void test_find(void **state)
{
	struct scene s =
		play("10-20rw-25r, 30-40r", "10-20rw-25r, 30-40r", by(-1), "");
	struct vma_map *clone;

	(void)state;
	assert_null(vma_map_find(s.m, 10 * PAGE - 1));
	assert_ptr_equal(vma_map_find(s.m, 10 * PAGE), vma_map_at(s.m, 0));
	assert_ptr_equal(vma_map_find(s.m, 20 * PAGE), vma_map_at(s.m, 1));
	assert_null(vma_map_find(s.m, 25 * PAGE));
	assert_null(vma_map_find(s.m, UINT64_MAX));
	assert_int_equal(vma_map_lower(s.m, 0), 0);
	assert_int_equal(vma_map_lower(s.m, 20 * PAGE), 1);
	assert_int_equal(vma_map_lower(s.m, 27 * PAGE), 2);
	assert_int_equal(vma_map_lower(s.m, 40 * PAGE), 3);
	clone = vma_map_clone(s.m, s.then);
	assert_null(vma_map_check(clone));
	assert_int_equal(vma_map_count(clone), 3);
	assert_ptr_equal(vma_map_at(clone, 2)->made, s.then);
	vma_map_free(clone);
	end(&s);
}

/* --- the twin */

#define PAGES 256
#define RANDOM_OPS 200000

struct twin_page {
	bool there;
	uint32_t flags, ino;
	uint64_t offset; /* pages */
	bool border; /* a VMA begins here, though it could be one with that before */
	int vma; /* index, or -1 */
};

struct twin {
	struct twin_page page[PAGES];
	int nr;
	uint64_t made[PAGES], changed[PAGES]; /* by VMA: ts of the cause */
};

static bool twin_joins(const struct twin_page *a, const struct twin_page *b)
{
	return a->there && b->there && !b->border && a->flags == b->flags &&
	       a->ino == b->ino && (!b->ino || a->offset + 1 == b->offset);
}

static void twin_number(struct twin *t)
{
	t->nr = 0;
	for (int i = 0; i < PAGES; i++) {
		struct twin_page *p = &t->page[i];

		p->vma = -1;
		if (p->there)
			p->vma = i && twin_joins(p - 1, p) ? t->nr - 1 :
							     t->nr++;
	}
}

static size_t twin_descs(const struct twin *t, int lo, int hi,
			 struct vma_desc *d)
{
	size_t n = 0;
	int last = -1;

	for (int i = lo; i < hi; i++) {
		const struct twin_page *p = &t->page[i];

		if (!p->there)
			continue;
		if (p->vma != last)
			d[n++] = (struct vma_desc){
				.start = i * PAGE,
				.end = i * PAGE,
				.flags = p->flags,
				.ino = p->ino,
				.offset = p->ino ? p->offset * PAGE : 0,
			};
		d[n - 1].end += PAGE;
		last = p->vma;
	}
	return n;
}

struct random_op {
	struct cause *c;
	int lo, hi; /* pages that it may have changed */
	int zone_lo, zone_hi; /* certainly replaced */
	int from; /* mremap's old address, or -1 */
};

static void twin_fill(struct twin *t, int lo, int hi)
{
	static const uint32_t flags[] = { VMA_READ, VMA_READ | VMA_WRITE, 0,
					  VMA_READ | VMA_EXEC };
	uint32_t f = flags[seed_below(4)], ino = seed_below(4);
	uint64_t skew = seed_below(3);

	if (seed_below(8) == 0)
		f |= VMA_SHARED;
	if (ino > 2)
		ino = 0;
	if (ino)
		f |= VMA_FILE;
	for (int i = lo; i < hi; i++)
		t->page[i] = (struct twin_page){ true,	f,
						 ino,	ino ? i + skew : 0,
						 false, -1 };
}

static void random_mmap(struct twin *t, struct random_op *op, uint64_t ts)
{
	op->c = cause(ts, NR_MMAP, op->lo * PAGE, (op->hi - op->lo) * PAGE, 0,
		      MAP_FIXED_FLAG);
	op->zone_lo = op->lo;
	op->zone_hi = op->hi;
	twin_fill(t, op->lo, op->hi);
}

static void random_protect(struct twin *t, struct random_op *op, uint64_t ts)
{
	uint32_t flip = seed_below(3) ? VMA_WRITE : VMA_LOCKED;

	op->c = cause(ts, NR_MPROTECT, 0, 0, 0, 0);
	for (int i = op->lo; i < op->hi; i++)
		t->page[i].flags ^= t->page[i].there ? flip : 0;
}

static void random_remap(struct twin *t, struct random_op *op, uint64_t ts)
{
	int len = op->hi - op->lo, to = seed_below(PAGES - len);

	/* Moves one VMA's pages to a free place, or nothing. */
	for (int i = 0; i < len; i++) {
		if (t->page[op->lo + i].vma != t->page[op->lo].vma ||
		    t->page[to + i].there)
			len = 0;
	}
	if (!t->page[op->lo].there || !len) {
		op->c = cause(ts, -1, 0, 0, 0, 0);
		return;
	}
	if (to == op->hi) {
		/* The kernel would have grown it in place: nothing moves there. */
		op->c = cause(ts, -1, 0, 0, 0, 0);
		return;
	}
	op->from = op->lo;
	op->c = cause(ts, NR_MREMAP, op->lo * PAGE, len * PAGE, len * PAGE, 1);
	for (int i = 0; i < len; i++) {
		t->page[to + i] = t->page[op->lo + i];
		t->page[op->lo + i].there = false;
	}
	op->lo = to < op->lo ? to : op->lo;
	op->hi = to + len > op->hi ? to + len : op->hi;
}

static void random_op(struct twin *t, struct random_op *op, uint64_t ts)
{
	op->lo = seed_below(PAGES);
	op->hi = op->lo + 1 +
		 seed_below(PAGES - op->lo < 40 ? PAGES - op->lo : 40);
	op->zone_lo = op->zone_hi = 0;
	op->from = -1;
	switch (seed_below(5)) {
	case 0:
	case 1:
		random_mmap(t, op, ts);
		break;
	case 2:
		op->c = cause(ts, NR_MUNMAP, 0, 0, 0, 0);
		for (int i = op->lo; i < op->hi; i++)
			t->page[i].there = false;
		break;
	case 3:
		random_protect(t, op, ts);
		break;
	default:
		random_remap(t, op, ts);
	}
	/* Borders that cannot be explained come and go, too. */
	for (int i = op->lo; i < op->hi; i++)
		t->page[i].border = seed_below(20) == 0;
}

static bool twin_kept(const struct twin *old, const struct twin *now,
		      const struct random_op *op, int i)
{
	const struct twin_page *a = &old->page[i], *b = &now->page[i];

	return a->there && b->there && !(i >= op->zone_lo && i < op->zone_hi) &&
	       !((a->flags ^ b->flags) & (VMA_SHARED | VMA_FILE)) &&
	       a->ino == b->ino && a->offset == b->offset;
}

/* The old VMA that shares most with VMA v, or -1. */
static int twin_ancestor(const struct twin *old, const struct twin *now,
			 const struct random_op *op, int v)
{
	int same[PAGES] = { 0 }, kept[PAGES] = { 0 }, best = -1;

	for (int i = 0; i < PAGES; i++) {
		if (now->page[i].vma != v || !twin_kept(old, now, op, i))
			continue;
		kept[old->page[i].vma]++;
		same[old->page[i].vma] += old->page[i].flags ==
					  now->page[i].flags;
	}
	for (int o = 0; o < old->nr; o++) {
		if (kept[o] &&
		    (best < 0 || same[o] > same[best] ||
		     (same[o] == same[best] && kept[o] > kept[best])))
			best = o;
	}
	return best;
}

static bool twin_untouched(const struct twin *old, const struct twin *now,
			   const struct random_op *op, int v, int o)
{
	for (int i = 0; i < PAGES; i++) {
		const struct twin_page *a = &old->page[i], *b = &now->page[i];

		if ((a->vma == o) != (b->vma == v))
			return false;
		if (a->vma == o &&
		    (!twin_kept(old, now, op, i) || a->flags != b->flags))
			return false;
	}
	return true;
}

static void twin_causes(const struct twin *old, struct twin *now,
			const struct random_op *op)
{
	for (int v = 0; v < now->nr; v++) {
		int o = twin_ancestor(old, now, op, v);

		now->changed[v] = op->c->ts;
		now->made[v] = op->c->ts;
		if (o >= 0) {
			now->made[v] = old->made[o];
			if (twin_untouched(old, now, op, v, o))
				now->changed[v] = old->changed[o];
		} else if (op->from >= 0 && old->page[op->from].vma >= 0) {
			now->made[v] = old->made[old->page[op->from].vma];
		}
	}
}

static void compare_vmas(const struct vma_map *m, const struct twin *t)
{
	struct vma_desc d[PAGES];
	size_t nr = twin_descs(t, 0, PAGES, d);

	assert_int_equal(nr, t->nr);
	assert_int_equal(vma_map_count(m), nr);
	for (size_t i = 0; i < nr; i++) {
		const struct vma *v = vma_map_at(m, i);

		assert_memory_equal(&v->d, &d[i], sizeof(d[i]));
		assert_int_equal(v->made->ts, t->made[i]);
		assert_int_equal(v->changed->ts, t->changed[i]);
	}
}

static void compare_bytes(const struct twin *old, const struct twin *now,
			  const struct random_op *op)
{
	const uint32_t prot = VMA_READ | VMA_WRITE | VMA_EXEC;
	uint64_t mapped = 0, unmapped = 0, changed = 0;

	for (int i = 0; i < PAGES; i++) {
		const struct twin_page *a = &old->page[i], *b = &now->page[i];

		if (!twin_kept(old, now, op, i)) {
			mapped += b->there;
			unmapped += a->there;
		} else {
			changed += ((a->flags ^ b->flags) & prot) != 0;
		}
	}
	assert_int_equal(op->c->mapped, mapped * PAGE);
	assert_int_equal(op->c->unmapped, unmapped * PAGE);
	assert_int_equal(op->c->changed, changed * PAGE);
}

/* The changes told add up to the bytes, and to the number of VMAs. */
static void compare_changes(const struct twin *old, const struct twin *now,
			    const struct random_op *op,
			    const struct vma_change *c, int nr)
{
	uint64_t came = 0, went = 0, at = 0;
	int begun = 0, ended = 0, last_merged = -1;

	for (int i = 0; i < nr; i++) {
		uint64_t bytes = c[i].end - c[i].start;
		int page = c[i].start / PAGE, o = old->page[page].vma;
		bool whole = now->page[page].vma >= 0 &&
			     twin_ancestor(old, now, op, now->page[page].vma) <
				     0;

		assert_true(c[i].start >= at && bytes);
		at = c[i].start;
		switch (c[i].kind) {
		case VMA_CREATED:
		case VMA_MOVED:
		case VMA_GREW:
			assert_int_equal(c[i].kind == VMA_GREW ? whole : false,
					 false);
			begun += whole;
			came += bytes;
			break;
		case VMA_REMOVED:
			ended++;
			went += bytes;
			break;
		case VMA_SHRANK:
			went += bytes;
			break;
		case VMA_SPLIT:
			begun++;
			break;
		case VMA_MERGED:
			ended += o != last_merged;
			last_merged = o;
			break;
		case VMA_PROTECTED:
			assert_int_not_equal(c[i].old_flags, c[i].new_flags);
			assert_int_equal(c[i].old_flags, old->page[page].flags);
			assert_int_equal(c[i].new_flags, now->page[page].flags);
			break;
		}
	}
	assert_int_equal(came, op->c->mapped);
	assert_int_equal(went, op->c->unmapped);
	assert_int_equal(now->nr - begun, old->nr - ended);
}

static void widen(const struct twin *old, const struct twin *now,
		  struct random_op *op)
{
	/* A record may also cut VMAs: what sticks out must stay. */
	if (seed_below(4) == 0)
		return;
	while (op->lo &&
	       ((old->page[op->lo - 1].there &&
		 old->page[op->lo].vma == old->page[op->lo - 1].vma) ||
		(now->page[op->lo - 1].there &&
		 now->page[op->lo].vma == now->page[op->lo - 1].vma)))
		op->lo--;
	while (op->hi < PAGES &&
	       ((old->page[op->hi].there &&
		 old->page[op->hi].vma == old->page[op->hi - 1].vma) ||
		(now->page[op->hi].there &&
		 now->page[op->hi].vma == now->page[op->hi - 1].vma)))
		op->hi++;
}

static void one_random_op(struct vma_map *m, struct twin *t, uint64_t ts)
{
	struct vma_change told[4 * PAGES];
	struct vma_desc d[PAGES];
	struct twin old = *t;
	struct random_op op;
	int nr;

	random_op(t, &op, ts);
	twin_number(t);
	widen(&old, t, &op);
	/* Where the record cuts, a border stays. */
	t->page[op.lo].border |= op.lo &&
				 old.page[op.lo].vma == old.page[op.lo - 1].vma;
	if (op.hi < PAGES)
		t->page[op.hi].border |=
			old.page[op.hi].vma == old.page[op.hi - 1].vma ||
			t->page[op.hi].vma == t->page[op.hi - 1].vma;
	if (op.lo)
		t->page[op.lo].border |= t->page[op.lo].vma ==
					 t->page[op.lo - 1].vma;
	twin_number(t);
	twin_causes(&old, t, &op);
	nr = vma_map_replace(m, op.lo * PAGE, op.hi * PAGE, d,
			     twin_descs(t, op.lo, op.hi, d), op.c, told,
			     4 * PAGES);
	assert_in_range(nr, 0, 4 * PAGES);
	compare_vmas(m, t);
	compare_bytes(&old, t, &op);
	compare_changes(&old, t, &op, told, nr);
	cause_put(op.c);
}

static void test_random_against_twin(void **state)
{
	struct vma_map *m = vma_map_new();
	struct twin t = { .nr = 0 };

	(void)state;
	for (int i = 0; i < PAGES; i++)
		t.page[i].vma = -1;
	seed_start();
	for (int i = 0; i < RANDOM_OPS; i++) {
		one_random_op(m, &t, i + 1);
		if (i % 16 == 0)
			assert_null(vma_map_check(m));
	}
	vma_map_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_and_remove),
		cmocka_unit_test(test_grow_and_shrink),
		cmocka_unit_test(test_protect),
		cmocka_unit_test(test_who_protected),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_map_fixed),
		cmocka_unit_test(test_mremap),
		cmocka_unit_test(test_mremap_in_parts),
		cmocka_unit_test(test_cut_ends),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_random_against_twin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
