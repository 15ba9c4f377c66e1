// SPDX-License-Identifier: GPL-2.0
/*
 * The shim's reader of .eh_frame against libdw's, over the libraries that this
 * program has loaded, address by address; and over tables that are damaged.
 */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "seed.h"
#undef skip
#include "probe/shim_cfi.c"

#define ADDRESSES 20000

struct object {
	char path[256];
	struct cfi_object o;
	uint64_t base, text, text_end;
};

static struct object objects[32];
static unsigned int nr_objects;

static int note_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct object *ob = &objects[nr_objects];
	int i;

	(void)size;
	(void)arg;
	snprintf(ob->path, sizeof(ob->path), "%s",
		 *info->dlpi_name ? info->dlpi_name : "/proc/self/exe");
	ob->base = info->dlpi_addr;
	ob->o = (struct cfi_object){ ~0ull, 0, NULL };
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uint64_t start = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_GNU_EH_FRAME)
			ob->o.hdr = (const uint8_t *)start;
		if (ph->p_type != PT_LOAD)
			continue;
		if (start < ob->o.start)
			ob->o.start = start;
		if (start + ph->p_memsz > ob->o.end)
			ob->o.end = start + ph->p_memsz;
		if (!(ph->p_flags & PF_X))
			continue;
		ob->text = start;
		ob->text_end = start + ph->p_memsz;
	}
	if (ob->o.hdr && ob->path[0] == '/' && nr_objects < 31)
		nr_objects++;
	return 0;
}

static bool always(const void *p, size_t n)
{
	(void)p;
	(void)n;
	return true;
}

/* --- what libdw says */

enum verdict {
	SAME_RULE,
	OTHER_RULE,
	ODD /* an expression that we do not compare */
};

static bool same_bp(Dwarf_Frame *frame, uint64_t rule)
{
	Dwarf_Op mem[3], *ops;
	size_t nr;
	int64_t off;

	if (dwarf_frame_register(frame, REG_BP, mem, &ops, &nr))
		return false;
	if (!nr) /* NULL: the same, mem: undefined */
		return rule_bp(rule) == (ops ? BP_LOST : BP_SAME);
	if (ops[0].atom == DW_OP_call_frame_cfa && nr <= 2) {
		off = nr == 2 ? (int64_t)ops[1].number : 0;
		return rule_bp(rule) == BP_AT_CFA && rule_slot(rule) == off;
	}
	if (ops[0].atom == DW_OP_breg6 && nr == 1)
		return rule_bp(rule) == BP_AT_BP &&
		       rule_slot(rule) == (int64_t)ops[0].number;
	return rule_bp(rule) == BP_LOST;
}

static bool ra_is_undefined(Dwarf_Frame *frame)
{
	Dwarf_Op mem[3], *ops;
	size_t nr;

	return !dwarf_frame_register(frame, REG_RA, mem, &ops, &nr) && !nr &&
	       ops;
}

/* In a register, around vfork and longjmp: nothing that we could follow. */
static bool ra_is_elsewhere(Dwarf_Frame *frame)
{
	Dwarf_Op mem[3], *ops;
	size_t nr;

	return dwarf_frame_register(frame, REG_RA, mem, &ops, &nr) || nr != 2 ||
	       ops[0].atom != DW_OP_call_frame_cfa ||
	       (int64_t)ops[1].number != -8;
}

static enum verdict compare(Dwarf_Frame *frame, uint64_t rule)
{
	enum rule_kind kind = rule_kind(rule), want;
	Dwarf_Op *ops;
	size_t nr;
	int64_t off;
	bool signal;

	dwarf_frame_info(frame, NULL, NULL, &signal);
	if (ra_is_undefined(frame))
		return kind == RULE_END ? SAME_RULE : OTHER_RULE;
	if (signal)
		return kind == RULE_SIGNAL ? SAME_RULE : OTHER_RULE;
	if (ra_is_elsewhere(frame))
		return kind == RULE_NONE ? SAME_RULE : OTHER_RULE;
	if (dwarf_frame_cfa(frame, &ops, &nr) || !nr)
		return OTHER_RULE;
	if (nr == 1 && ops[0].atom == DW_OP_bregx)
		want = ops[0].number == REG_SP ? RULE_SP :
		       ops[0].number == REG_BP ? RULE_BP :
						 RULE_NONE;
	else if (nr == 2 && ops[0].atom == DW_OP_breg6 &&
		 ops[1].atom == DW_OP_deref)
		want = RULE_BP_DEREF;
	else
		return ODD;
	if (kind != want)
		return OTHER_RULE;
	if (kind == RULE_NONE)
		return SAME_RULE;
	off = (int64_t)(nr == 1 ? ops[0].number2 : ops[0].number);
	return rule_off(rule) == off && same_bp(frame, rule) ? SAME_RULE :
							       OTHER_RULE;
}

static unsigned int counts[3], kinds[16], without;

static void compare_at(const struct object *ob, Dwarf_CFI *cfi, uint64_t at)
{
	uint64_t rule = cfi_rule(&ob->o, at, always);
	Dwarf_Frame *frame = NULL;
	enum verdict v;

	kinds[rule_kind(rule)]++;
	if (dwarf_cfi_addrframe(cfi, at - ob->base, &frame)) {
		/* there is none, says libdw */
		assert_int_equal(rule_kind(rule), RULE_NONE);
		without++;
		return;
	}
	v = compare(frame, rule);
	if (v == OTHER_RULE)
		print_message("# %s+0x%" PRIx64 ": rule %" PRIx64 "\n",
			      ob->path, at - ob->base, rule);
	counts[v]++;
	free(frame);
}

static void compare_object(const struct object *ob)
{
	int fd = open(ob->path, O_RDONLY), i;
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	Dwarf_CFI *cfi = dwarf_getcfi_elf(elf);

	assert_non_null(cfi);
	for (i = 0; i < ADDRESSES; i++)
		compare_at(ob, cfi,
			   ob->text + seed_next() % (ob->text_end - ob->text));
	dwarf_cfi_end(cfi);
	elf_end(elf);
	close(fd);
}

static void test_against_libdw(void **state)
{
	unsigned int i;

	(void)state;
	elf_version(EV_CURRENT);
	for (i = 0; i < nr_objects; i++)
		if (!strstr(objects[i].path, "libasan") &&
		    !strstr(objects[i].path, "libubsan"))
			compare_object(&objects[i]);
	print_message(
		"# %u rules the same, %u not compared, %u places without; kinds: sp %u, bp %u, *bp %u, end %u, none %u\n",
		counts[SAME_RULE], counts[ODD], without, kinds[RULE_SP],
		kinds[RULE_BP], kinds[RULE_BP_DEREF], kinds[RULE_END],
		kinds[RULE_NONE]);
	assert_int_equal(counts[OTHER_RULE], 0);
	assert_true(counts[SAME_RULE] > 10 * counts[ODD]);
	assert_true(kinds[RULE_SP] > 1000 && kinds[RULE_BP] > 100);
}

/* A procedure linkage table: its rule is an expression of the address. */
static void test_plt(void **state)
{
	static const uint8_t expr[] = { 0x77, 8,    0x80, 0,	0x3f, 0x1a,
					0x3b, 0x2a, 0x33, 0x24, 0x22 };
	struct term t;

	(void)state;
	assert_true(expr_eval(expr, sizeof(expr), 0x401020, &t));
	assert_true(t.reg == REG_SP && !t.deref && t.off == 8);
	assert_true(expr_eval(expr, sizeof(expr), 0x40102b, &t));
	assert_true(t.reg == REG_SP && !t.deref && t.off == 16);
	assert_false(expr_eval(expr, sizeof(expr) - 1, 0x40102b, &t));
}

/* --- damaged tables */

static const struct cfi_object *mapped;

static bool only_mapped(const void *p, size_t n)
{
	uint64_t at = (uintptr_t)p;

	return at >= mapped->start && at <= mapped->end &&
	       n <= mapped->end - at;
}

/* A copy of ourselves whose unwind tables are scribbled over. */
__attribute__((no_sanitize("address"))) static void test_damage(void **state)
{
	const struct object *ob = &objects[0];
	size_t size = (ob->text_end > (uintptr_t)ob->o.hdr ?
			       ob->text_end :
			       (uintptr_t)ob->o.hdr + 65536) -
		      ob->o.start;
	size_t hdr = (uintptr_t)ob->o.hdr - ob->o.start, i, none = 0;
	size_t tables = size - hdr < 65536 ? size - hdr : 65536;
	uint8_t *copy;
	struct cfi_object o;

	(void)state;
	if (ob->o.start + size > ob->o.end)
		size = ob->o.end - ob->o.start;
	tables = size - hdr < tables ? size - hdr : tables;
	copy = malloc(size);
	assert_non_null(copy);
	for (i = 0; i < size; i++) /* ASan has its own idea of what is where */
		copy[i] = ((const volatile uint8_t *)ob->o.start)[i];
	o = (struct cfi_object){ (uintptr_t)copy, (uintptr_t)copy + size,
				 copy + hdr };
	mapped = &o;
	for (i = 0; i < 200000; i++) {
		size_t at = hdr + seed_next() % tables;
		uint8_t was = copy[at];

		copy[at] = (uint8_t)seed_next();
		none += rule_kind(cfi_rule(&o,
					   (uintptr_t)copy +
						   (ob->text - ob->o.start) +
						   seed_next() % 65536,
					   only_mapped)) == RULE_NONE;
		if (seed_below(4))
			copy[at] = was;
	}
	assert_true(none > 0);
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_libdw),
		cmocka_unit_test(test_plt),
		cmocka_unit_test(test_damage),
	};

	seed_start();
	dl_iterate_phdr(note_object, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
