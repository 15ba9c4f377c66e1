// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>

#include "output/page.h"
#include "output/text.h"

static const char *const states[] = {
	[PAGE_NONE] = "no page: never touched, or given back",
	[PAGE_PRESENT] = "present",
	[PAGE_ZERO] = "only read: the kernel lends its frame of zeroes",
	[PAGE_SWAPPED] = "swapped out",
	[PAGE_MARKED] = "no page: migrating, poisoned, or a guard",
};

/* --- text */

#define SHOWN 5u /* of those who share it */

static void put_present(FILE *f, const struct page_look *p)
{
	fputs(p->file ? ", of a file or shared memory" : ", its own memory", f);
	fputs(p->alone ? ", mapped by nobody else" : ", mapped by others too",
	      f);
	fputs(p->huge == PAGE_YES ? ", by a huge page" :
	      p->huge == PAGE_NO  ? "" :
				    ", huge page: ?",
	      f);
}

static void put_frame(FILE *f, const struct page_look *p)
{
	unsigned int bit;

	fputs("  frame     ", f);
	if (!p->permitted) {
		fputs("not permitted (CAP_SYS_ADMIN)\n", f);
		return;
	}
	fprintf(f, "%#" PRIx64 ", mapped ", p->frame);
	if (p->mapped_known)
		fprintf(f, "%" PRIu64 " time%s", p->mapped, plural(p->mapped));
	else
		fputs("? times", f);
	fputs(p->flags_known ? ", flags" : ", flags not permitted (root)", f);
	for (bit = 0; p->flags_known && bit < 64; bit++)
		if (p->flags >> bit & 1 && page_flag_name(bit))
			fprintf(f, " %s", page_flag_name(bit));
	fputc('\n', f);
}

static void put_users(FILE *f, const struct page_look *p)
{
	size_t i;

	fprintf(f, "  shared    with %zu process%s", p->users,
		p->users == 1 ? "" : "es");
	for (i = 0; i < p->users && i < SHOWN; i++) {
		const struct page_user *u = &p->user[i];

		fprintf(f, "%s%u (", i ? ", " : ": ", u->pid);
		put_name(f, u->comm);
		fprintf(f, ") at %#" PRIx64 "%s", u->addr,
			u->here == PAGE_NO ? " (not touched there)" : "");
	}
	if (p->users > SHOWN)
		fputs(", ...", f);
	if (p->blind)
		fprintf(f, "; %zu could not be looked at", p->blind);
	fputc('\n', f);
}

void put_page(FILE *f, const struct page_look *p)
{
	fprintf(f, "  page      %08" PRIx64 ", %s", p->addr, states[p->state]);
	if (p->state == PAGE_PRESENT)
		put_present(f, p);
	if (p->state != PAGE_NONE && p->state != PAGE_MARKED)
		fputs(p->soft_dirty == PAGE_YES ? ", soft-dirty" :
		      p->soft_dirty == PAGE_NO	? ", not soft-dirty" :
						  ", soft-dirty: ?",
		      f);
	if (p->state == PAGE_SWAPPED && p->permitted)
		fprintf(f, ", slot %" PRIu64 " of swap %u", p->swap_offset,
			p->swap_type);
	fputc('\n', f);
	if (p->state == PAGE_PRESENT || p->state == PAGE_ZERO)
		put_frame(f, p);
	if (p->looked)
		put_users(f, p);
}

/* --- JSON */

static json_t *json_answer(enum page_answer a)
{
	return a == PAGE_UNKNOWN ? json_null() : json_boolean(a == PAGE_YES);
}

static json_t *json_flags(const struct page_look *p)
{
	json_t *j = p->flags_known ? json_array() : json_null();
	unsigned int bit;

	for (bit = 0; p->flags_known && bit < 64; bit++)
		if (p->flags >> bit & 1 && page_flag_name(bit))
			json_array_append_new(j,
					      json_string(page_flag_name(bit)));
	return j;
}

static json_t *json_shared(const struct page_look *p)
{
	json_t *with;
	size_t i;

	if (!p->looked)
		return json_null();
	with = json_array();
	for (i = 0; i < p->users && i < PAGE_USERS; i++)
		json_array_append_new(
			with, json_pack("{s:o, s:o, s:o, s:o}", "pid",
					json_u64(p->user[i].pid), "comm",
					json_name(p->user[i].comm), "addr",
					json_addr(p->user[i].addr), "here",
					json_answer(p->user[i].here)));
	return json_pack("{s:o, s:o, s:o}", "users", json_u64(p->users), "with",
			 with, "not_seen", json_u64(p->blind));
}

json_t *json_page(const struct page_look *p)
{
	bool present = p->state == PAGE_PRESENT;
	bool has = present || p->state == PAGE_ZERO;
	bool swap = p->state == PAGE_SWAPPED && p->permitted;

	return json_pack(
		"{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		"addr", json_addr(p->addr), "state", page_state_name(p->state),
		"file", present ? json_boolean(p->file) : json_null(), "alone",
		present ? json_boolean(p->alone) : json_null(), "soft_dirty",
		json_answer(p->soft_dirty), "huge",
		present ? json_answer(p->huge) : json_null(), "frame",
		has && p->permitted ? json_addr(p->frame) : json_null(), "swap",
		swap ? json_pack("{s:o, s:o}", "type", json_u64(p->swap_type),
				 "offset", json_u64(p->swap_offset)) :
		       json_null(),
		"flags", json_flags(p), "mapped",
		p->mapped_known ? json_u64(p->mapped) : json_null(), "shared",
		json_shared(p));
}
