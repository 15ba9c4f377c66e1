// SPDX-License-Identifier: GPL-2.0
/* record_decode(): what is right is taken, what is not never leads out of bounds. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "intake/records.h"
#include "uapi/vmaheap.h"

static struct vmaheap_rec_range *range(uint32_t nr, size_t *bytes)
{
	struct vmaheap_rec_range *r;

	*bytes = sizeof(*r) + nr * sizeof(r->vmas[0]);
	r = calloc(1, *bytes);
	r->rec.type = VMAHEAP_REC_RANGE;
	r->rec.size = (uint32_t)*bytes;
	r->rec.seq = 1;
	r->rec.ts = 2;
	r->rec.mm = 3;
	r->nr_vmas = nr;
	r->syscall = 12;
	r->hi = 0x10000;
	return r;
}

static void test_range(void **state)
{
	struct vmaheap_rec_range *r;
	struct event ev;
	size_t bytes;

	(void)state;
	r = range(2, &bytes);
	r->vmas[1].start = 0x4000;
	r->vmas[1].flags = VMAHEAP_VMA_READ | VMAHEAP_VMA_FILE;
	assert_int_equal(record_decode(r, bytes, &ev), bytes);
	assert_int_equal(ev.kind, EV_RANGE);
	assert_int_equal(ev.mm, 3);
	assert_int_equal(ev.range.nr_vmas, 2);
	assert_int_equal(ev.range.vmas[1].start, 0x4000);
	assert_int_equal(ev.range.vmas[1].flags, VMA_READ | VMA_FILE);
	assert_int_equal(record_decode(r, bytes - 8, &ev), -EINVAL);
	r->nr_vmas = 3;
	assert_int_equal(record_decode(r, bytes, &ev), -EINVAL);
	r->nr_vmas = UINT32_MAX;
	assert_int_equal(record_decode(r, bytes, &ev), -EINVAL);
	free(r);
}

static void test_unknown_type_is_skipped(void **state)
{
	struct vmaheap_record r = { .type = 4711, .size = sizeof(r) };
	struct event ev;

	(void)state;
	assert_int_equal(record_decode(&r, sizeof(r), &ev), sizeof(r));
	assert_int_equal(ev.kind, 0);
}

/* A newer module's record is longer than ours: the tail is ignored. */
static void test_longer_record(void **state)
{
	struct {
		struct vmaheap_rec_task t;
		uint64_t more;
	} r = { .t = { .rec = { .type = VMAHEAP_REC_TASK, .size = sizeof(r) },
		       .owner = 7 } };
	struct event ev;

	(void)state;
	assert_int_equal(record_decode(&r, sizeof(r), &ev), sizeof(r));
	assert_int_equal(ev.task.owner, 7);
}

static void test_fault(void **state)
{
	struct vmaheap_rec_fault r = { .rec = { .type = VMAHEAP_REC_FAULT,
						.flags = VMAHEAP_F_WRITE,
						.size = sizeof(r),
						.mm = 3 },
				       .addr = 0x1234,
				       .ip = 0x5678,
				       .syscall = -1 };
	struct event ev;

	(void)state;
	assert_int_equal(record_decode(&r, sizeof(r), &ev), sizeof(r));
	assert_int_equal(ev.kind, EV_FAULT);
	assert_int_equal(ev.mm, 3);
	assert_int_equal(ev.fault.addr, 0x1234);
	assert_int_equal(ev.fault.ip, 0x5678);
	assert_int_equal(ev.fault.syscall, -1);
	assert_int_equal(ev.fault.flags, FAULT_WRITE);
	r.rec.size -= 8;
	assert_int_equal(record_decode(&r, sizeof(r), &ev), -EINVAL);
}

static void test_file(void **state)
{
	struct {
		struct vmaheap_rec_file f;
		char path[16];
	} r = { .f = { .rec = { .type = VMAHEAP_REC_FILE, .size = sizeof(r) },
		       .len = 9 },
		.path = "/bin/true" };
	struct event ev;

	(void)state;
	assert_int_equal(record_decode(&r, sizeof(r), &ev), sizeof(r));
	assert_string_equal(ev.file.path, "/bin/true");
	r.f.len = 16; /* no room for the NUL */
	assert_int_equal(record_decode(&r, sizeof(r), &ev), -EINVAL);
	r.f.len = 9;
	r.path[3] = 0; /* a NUL inside */
	assert_int_equal(record_decode(&r, sizeof(r), &ev), -EINVAL);
}

/* Every byte of a record replaced, every length: the sanitizers are the judge. */
static void test_mutations(void **state)
{
	struct event ev;
	size_t bytes, i, len;
	void *copy;
	int type, bit;

	(void)state;
	for (type = 0; type < 12; type++) {
		struct vmaheap_rec_range *r = range(1, &bytes);

		r->rec.type = (uint16_t)type;
		for (i = 0; i < bytes; i++) {
			for (bit = 0; bit < 8; bit++) {
				((uint8_t *)r)[i] ^= (uint8_t)(1 << bit);
				record_decode(r, bytes, &ev);
				((uint8_t *)r)[i] ^= (uint8_t)(1 << bit);
			}
		}
		for (len = 0; len <= bytes; len += 8) {
			copy = malloc(
				len); /* exact, so that ASan sees one byte more */
			memcpy(copy, r, len);
			record_decode(copy, len, &ev);
			free(copy);
		}
		free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_unknown_type_is_skipped),
		cmocka_unit_test(test_longer_record),
		cmocka_unit_test(test_fault),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
