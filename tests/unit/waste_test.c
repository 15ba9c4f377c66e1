// SPDX-License-Identifier: GPL-2.0
/*
 * Pages shared out among chunks by chance, against a naive twin that looks at every
 * byte: nothing is lost, and each site has its part of each page, to less than a byte.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "output/waste.h"
#include "seed.h"

#define START 0x7f0000000000ull
#define PAGES 64
#define BYTES (PAGES * 4096u)
#define SITES 5

struct world {
	struct space s;
	struct output o;
	struct look_view v;
	struct cause *cause;
	uint8_t is[PAGES]; /* PAGE_IS_* */
	uint8_t owner[BYTES]; /* site; 0: nobody */
	uint64_t live[SITES + 1];
};

static int page_is(void *ctx, uint64_t addr)
{
	struct world *w = ctx;

	return w->is[(addr - START) / 4096];
}

static void add_chunk(struct world *w, uint64_t at, uint64_t size,
		      unsigned int who)
{
	struct chunk c = { .addr = START + at,
			   .size = size,
			   .caller = 0x1000 + who,
			   .op = CALL_MALLOC };

	assert_int_equal(chunk_insert(w->s.chunks, &c), 0);
	memset(w->owner + at, (int)who, size);
	w->live[who] += size;
}

/* Chunks of all sizes with holes of all sizes: on many pages there are none, or several. */
static void build(struct world *w)
{
	static const uint8_t kinds[] = { 0,
					 PAGE_IS_RESIDENT,
					 PAGE_IS_SWAPPED,
					 PAGE_IS_RESIDENT,
					 PAGE_IS_RESIDENT | PAGE_IS_HUGE,
					 PAGE_IS_RESIDENT | PAGE_IS_HUGE |
						 PAGE_IS_SPARE };
	struct vma_desc d = { .start = START,
			      .end = START + BYTES,
			      .flags = VMA_READ | VMA_WRITE };
	uint64_t at = 16;
	unsigned int i;

	*w = (struct world){ .cause = calloc(1, sizeof(*w->cause)) };
	*w->cause = (struct cause){ .refs = 1, .kind = CAUSE_SYSCALL };
	w->s.vmas = vma_map_new();
	w->s.chunks = chunk_table_new();
	w->s.has_calls = true;
	w->s.vmas_sampled = true;
	assert_int_equal(vma_map_replace(w->s.vmas, START, START + BYTES, &d, 1,
					 w->cause, NULL, 0),
			 1);
	for (i = 0; i < PAGES; i++)
		w->is[i] = kinds[seed_below(sizeof(kinds))];
	while (at < BYTES) {
		uint32_t big = seed_below(8) ? 200 : 20000;
		uint64_t size = seed_below(big);

		if (at + size > BYTES)
			break;
		add_chunk(w, at, size, 1 + seed_below(SITES));
		at += (size + 8 + seed_below(big)) & ~7ull;
	}
	w->o.model = model_new();
	w->v = (struct look_view){
		.o = &w->o, .s = &w->s, .page = page_is, .ctx = w
	};
}

static void drop(struct world *w)
{
	vma_map_free(w->s.vmas);
	chunk_table_free(w->s.chunks);
	model_free((struct model *)w->o.model);
	cause_put(w->cause);
}

/* What a site's part of all pages of some kind is, exactly, and on how many it lies. */
static double part(const struct world *w, unsigned int who, int is,
		   unsigned int *pages)
{
	double sum = 0;
	unsigned int p, i;

	*pages = 0;
	for (p = 0; p < PAGES; p++) {
		unsigned int mine = 0, all = 0;

		if ((w->is[p] & (PAGE_IS_RESIDENT | PAGE_IS_SWAPPED)) != is)
			continue;
		for (i = p * 4096; i < (p + 1) * 4096; i++) {
			all += w->owner[i] > 0;
			mine += w->owner[i] == who;
		}
		if (who ? mine : !all) {
			sum += who ? 4096.0 * mine / all : 4096;
			*pages += 1;
		}
	}
	return sum;
}

static void near(uint64_t got, double want, unsigned int pages,
		 unsigned int chunks)
{
	/* Each chunk's share of each page is cut to a whole number. */
	double room = pages + chunks;

	assert_true((double)got > want - room && (double)got < want + room);
}

static void check_site(const struct world *w, const struct waste_site *s)
{
	unsigned int who = (unsigned int)(s->where - 0x1000), pages;
	double want = part(w, who, PAGE_IS_RESIDENT, &pages);

	assert_int_equal(s->live, w->live[who]);
	near(s->pages.resident, want, pages, (unsigned int)s->chunks);
	want = part(w, who, PAGE_IS_SWAPPED, &pages);
	near(s->pages.swapped, want, pages, (unsigned int)s->chunks);
	want = part(w, who, 0, &pages);
	near(s->pages.untouched, want, pages, (unsigned int)s->chunks);
	assert_true(s->pages.spare <= s->pages.resident);
}

static void test_shares(void **state)
{
	unsigned int round, pages, i, nr[4];
	struct world *w = malloc(sizeof(*w));

	(void)state;
	for (round = 0; round < 100; round++) {
		struct waste n;

		build(w);
		assert_int_equal(waste_count(&w->v, &n), 0);
		memset(nr, 0, sizeof(nr));
		for (i = 0; i < PAGES; i++) {
			nr[0] += w->is[i] == 0;
			nr[1] += (w->is[i] & PAGE_IS_RESIDENT) > 0;
			nr[2] += (w->is[i] & PAGE_IS_SWAPPED) > 0;
			nr[3] += (w->is[i] & PAGE_IS_SPARE) > 0;
		}
		assert_int_equal(n.sum.pages.untouched, nr[0] * 4096);
		assert_int_equal(n.sum.pages.resident, nr[1] * 4096);
		assert_int_equal(n.sum.pages.swapped, nr[2] * 4096);
		assert_int_equal(n.sum.pages.spare, nr[3] * 4096);
		assert_int_equal(n.nr_regions, 1);
		assert_int_equal(n.regions[0].pages.resident, nr[1] * 4096);
		for (i = 0; i < n.nr_sites; i++)
			check_site(w, &n.sites[i]);
		assert_int_equal((uint64_t)part(w, 0, 0, &pages),
				 n.none.untouched);
		assert_int_equal((uint64_t)part(w, 0, PAGE_IS_RESIDENT, &pages),
				 n.none.resident);
		assert_true(n.pages_known && !n.slack_known &&
			    !n.hostage_known && !n.events_known);
		waste_free(&n);
		drop(w);
	}
	free(w);
}

static uint64_t number(const json_t *j, const char *key)
{
	const json_t *n = json_object_get(j, key);

	assert_true(json_is_integer(n));
	return (uint64_t)json_integer_value(n);
}

/* Of the heap as a trace has it: pages without a live byte, and what is above the last one. */
static void check_heap(const struct world *w, const json_t *heap)
{
	const json_t *pins = json_object_get(heap, "pins"), *pin;
	uint64_t empty = 0, above = 0, live = 0, at;
	unsigned int p, i;

	for (p = 0; p < PAGES; p++) {
		bool any = false;

		for (i = p * 4096; i < (p + 1) * 4096; i++)
			any |= w->owner[i] > 0;
		empty += any ? 0 : 4096;
	}
	while (above < BYTES && !w->owner[BYTES - 1 - above])
		above++;
	for (i = 1; i <= SITES; i++)
		live += w->live[i];
	assert_int_equal(number(heap, "empty"), empty);
	assert_int_equal(number(heap, "live"), live);
	assert_true(number(heap, "above") <= above);
	at = BYTES;
	for (i = 0; i < json_array_size(pins); i++) {
		uint64_t addr, size, below;

		pin = json_array_get(pins, i);
		addr = strtoull(json_string_value(json_object_get(pin, "addr")),
				NULL, 16) -
		       START;
		size = number(pin, "size");
		below = number(pin, "below");
		assert_true(addr + size <= at);
		/* Between two pins nothing is alive, and this much goes back. */
		for (at = addr - below; at < addr; at++)
			assert_int_equal(w->owner[at], 0);
		at = addr - below;
		assert_int_equal(number(pin, "back"),
				 (BYTES - at) / 4096 * 4096);
	}
}

static void test_held_of_trace(void **state)
{
	struct world *w = malloc(sizeof(*w));
	unsigned int round;

	(void)state;
	for (round = 0; round < 50; round++) {
		char *text;
		size_t len;
		json_t *j;

		build(w);
		w->s.start_brk = START;
		w->s.brk = START + BYTES;
		w->o.json = true;
		w->o.f = open_memstream(&text, &len);
		assert_int_equal(output_held_trace(&w->o, &w->s), 0);
		fclose(w->o.f);
		j = json_loads(text, 0, NULL);
		assert_int_equal(json_array_size(json_object_get(j, "heaps")),
				 1);
		check_heap(w, json_array_get(json_object_get(j, "heaps"), 0));
		json_decref(j);
		free(text);
		w->s.has_calls = false;
		assert_int_equal(output_held_trace(&w->o, &w->s), -ENODATA);
		drop(w);
	}
	free(w);
}

static void test_orders(void **state)
{
	enum waste_order by;

	(void)state;
	assert_int_equal(waste_order_parse("hostage", &by), 0);
	assert_int_equal(by, WASTE_HOSTAGE);
	assert_int_equal(waste_order_parse("calls", &by), 0);
	assert_int_equal(by, WASTE_EVENTS);
	assert_int_not_equal(waste_order_parse("bytes", &by), 0);
	assert_int_not_equal(waste_order_parse("", &by), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_held_of_trace),
		cmocka_unit_test(test_orders),
	};

	seed_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
