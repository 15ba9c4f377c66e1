// SPDX-License-Identifier: GPL-2.0
/* How many series there are, that nothing is left out of the sums, and escaping. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "export/openmetrics.h"

#define HEAP 0x555555590000ull
#define ARENA 0x7f2a54000000ull
#define ARENA_SIZE (64ull << 20)
#define ARENA_USED 0x21000ull
#define RW (VMA_READ | VMA_WRITE)

static uint64_t ts = 1000;

static void tell(struct model *m, struct event *ev)
{
	ev->ts = ts += 1000;
	assert_int_equal(model_apply(m, ev, NULL), 0);
}

static void tell_range(struct model *m, uint32_t pid,
		       const struct vma_desc *vmas, uint32_t nr)
{
	struct event ev = { .kind = EV_RANGE, .tgid = pid, .tid = pid };

	ev.mm = pid;
	ev.range.lo = 0;
	ev.range.hi = 1ull << 47;
	ev.range.syscall = -1;
	ev.range.start_brk = HEAP;
	ev.range.brk = HEAP + 0x21000;
	ev.range.map_count = ev.range.nr_vmas = nr;
	ev.range.vmas = vmas;
	tell(m, &ev);
}

/* A process that has a heap and that many arenas; a chunk of `size` in each. */
static void process(struct model *m, uint32_t pid, const char *comm,
		    unsigned int arenas, uint64_t size)
{
	struct vma_desc vmas[32] = {
		{ .start = HEAP, .end = HEAP + 0x21000, .flags = RW }
	};
	struct event mm = { .kind = EV_MM, .tgid = pid, .tid = pid, .mm = pid };
	struct event call = { .kind = EV_CALL, .tgid = pid, .tid = pid };
	uint32_t nr = 1;

	for (unsigned int i = 0; i < arenas; i++) {
		uint64_t at = ARENA + i * ARENA_SIZE;

		vmas[nr++] = (struct vma_desc){ .start = at,
						.end = at + ARENA_USED,
						.flags = RW };
		vmas[nr++] = (struct vma_desc){ .start = at + ARENA_USED,
						.end = at + ARENA_SIZE };
	}
	mm.mm_start.cause = MM_ATTACH;
	mm.mm_start.owner = pid;
	mm.mm_start.comm = comm;
	tell(m, &mm);
	tell_range(m, pid, vmas, nr);
	call.call.op = CALL_MALLOC;
	call.call.phase = CALL_ALLOC;
	call.call.size = size;
	call.call.addr = HEAP + 0x2a0;
	tell(m, &call);
	for (unsigned int i = 0; i < arenas; i++) {
		call.call.addr = ARENA + i * ARENA_SIZE + 0xb70;
		tell(m, &call);
	}
}

static char *text_of(const struct model *const *models, size_t nr)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	assert_int_equal(openmetrics_put(f, models, nr, ts), 0);
	assert_int_equal(fclose(f), 0);
	return text;
}

/* The lines that begin so: how many, and the sum of their values. */
static uint64_t sum(const char *text, const char *begin, unsigned int *nr)
{
	uint64_t n = 0;

	*nr = 0;
	for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
		const char *end = strchr(line, '\n');

		if (strncmp(line, begin, strlen(begin)))
			continue;
		while (end[-1] != ' ')
			end--;
		n += strtoull(end, NULL, 10);
		++*nr;
	}
	return n;
}

static void test_processes(void **state)
{
	struct model *a = model_new(), *b = model_new();
	const struct model *const both[] = { a, b };
	unsigned int nr;
	char *text;

	(void)state;
	for (uint32_t i = 0; i < 30; i++)
		process(i % 2 ? a : b, 100 + i, "many", 0, 1000 + i);
	text = text_of(both, 2);
	assert_int_equal(sum(text, "vmaheap_watched_processes ", &nr), 30);
	assert_int_equal(sum(text, "vmaheap_live_bytes{", &nr),
			 30 * 1000 + 29 * 30 / 2);
	assert_int_equal(nr, OPENMETRICS_PROCESSES + 1);
	/* Those with the least are the others. */
	assert_int_equal(sum(text, "vmaheap_live_bytes{pid=\"other\"", &nr),
			 10 * 1000 + 9 * 10 / 2);
	assert_int_equal(sum(text, "vmaheap_process_vmas{", &nr), 30);
	/* What only goes up is of single processes. */
	assert_int_equal(sum(text, "vmaheap_allocations_total{", &nr),
			 OPENMETRICS_PROCESSES);
	assert_int_equal(nr, OPENMETRICS_PROCESSES);
	assert_non_null(strstr(text, "\n# EOF\n"));
	assert_string_equal(strstr(text, "# EOF\n"), "# EOF\n");
	free(text);
	model_free(a);
	model_free(b);
}

static void test_arenas(void **state)
{
	struct model *m = model_new();
	const struct model *const one[] = { m };
	unsigned int nr;
	char *text;

	(void)state;
	process(m, 7, "threads", OPENMETRICS_ARENAS + 3, 100);
	text = text_of(one, 1);
	assert_int_equal(sum(text, "vmaheap_live_bytes{", &nr),
			 (OPENMETRICS_ARENAS + 4) * 100);
	assert_int_equal(nr, OPENMETRICS_ARENAS + 2);
	assert_int_equal(
		sum(text,
		    "vmaheap_live_bytes{pid=\"7\",comm=\"threads\",arena=\"more\"}",
		    &nr),
		300);
	assert_int_equal(
		sum(text,
		    "vmaheap_arena_size_bytes{pid=\"7\",comm=\"threads\",arena=\"1\"}",
		    &nr),
		ARENA_USED);
	/* Nobody has sampled it. */
	sum(text, "vmaheap_arena_resident_bytes{", &nr);
	assert_int_equal(nr, 0);
	free(text);
	model_free(m);
}

static void test_names(void **state)
{
	struct model *m = model_new();
	const struct model *const one[] = { m };
	char *text;

	(void)state;
	process(m, 7, "a\"b\\c\nd\xff", 0, 1);
	text = text_of(one, 1);
	assert_non_null(strstr(text, "comm=\"a\\\"b\\\\c\\nd?\""));
	free(text);
	model_free(m);
}

static void test_nothing(void **state)
{
	unsigned int nr;
	char *text;

	(void)state;
	text = text_of(NULL, 0);
	assert_int_equal(sum(text, "vmaheap_watched_processes ", &nr), 0);
	assert_int_equal(nr, 1);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_arenas),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
