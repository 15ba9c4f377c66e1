/* SPDX-License-Identifier: GPL-2.0 */
/* What strip.c finds out, strip_lay.c lays out and strip_svg.c draws. */
#ifndef OUTPUT_STRIP_INSIDE_H
#define OUTPUT_STRIP_INSIDE_H

#include "output/strip.h"
#include "output/view.h"

#define STRIP_LEAST 4.0 /* px, of a VMA */
#define STRIP_LINE 15.0 /* px, of text */
#define STRIP_WIDE_GAP (1ull << 30) /* bytes: gaps from here on are told of */

enum part_what { PART_GAP, PART_VMAS, PART_KERNEL };

struct part {
	enum part_what what;
	uint64_t start, end;
	size_t first, nr; /* VMAs */
	struct view w; /* of the largest */
	uint64_t size, resident, live, live_resident;
	bool sampled, has_live; /* all of it; any of it is known to be */
	bool is_none; /* PROT_NONE: address space, no memory */
	double y, h; /* top and height */
	bool cut;
};

/* One line of text, for parts [first, first + nr). */
struct label {
	size_t first, nr;
	double y; /* of the text's middle; `at`: of what it is about */
	double at;
};

struct strip {
	const struct output *o;
	const struct space *s;
	struct part *parts;
	size_t nr;
	struct label *labels;
	size_t nr_labels;
	double scale; /* bytes per px */
	double top, foot;
	uint32_t exe_dev; /* of the program's file */
	uint64_t exe_ino; /* 0: not known */
};

/* It is of the file that is the program. */
bool strip_is_program(const struct strip *st, const struct part *p);
/* A stack, or its guard, of a thread that is not the first. */
bool strip_is_thread_stack(const struct part *p);
/* Heights and places of parts and labels. 0 or -1: no memory. */
int strip_lay_out(struct strip *st);

#endif
