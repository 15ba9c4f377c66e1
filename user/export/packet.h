/* SPDX-License-Identifier: GPL-2.0 */
/* Perfetto's packets, one by one, to a stream. Times are CLOCK_MONOTONIC ns. */
#ifndef EXPORT_PACKET_H
#define EXPORT_PACKET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct packets {
	FILE *f;
	int err; /* the first, -errno */
};

/* The clocks: what a time is, and which time of day it was. */
void packet_clocks(struct packets *p, uint64_t ts, int64_t clock_offset);

/* --- tracks: a number names one, in the whole trace; 0 is none */

void packet_process(struct packets *p, uint64_t track, uint32_t pid,
		    const char *name);
void packet_thread(struct packets *p, uint64_t track, uint64_t process,
		   uint32_t pid, uint32_t tid);
void packet_track(struct packets *p, uint64_t track, uint64_t parent,
		  const char *name);
/* Of bytes. */
void packet_counter(struct packets *p, uint64_t track, uint64_t parent,
		    const char *name);

/* --- what is on them */

enum mark_type { MARK_BEGIN = 1, MARK_END, MARK_INSTANT };
enum note_kind { NOTE_NUMBER, NOTE_ADDRESS, NOTE_TEXT };

struct note {
	const char *name;
	enum note_kind kind;
	uint64_t number;
	const char *text;
};
#define MARK_NOTES 8

struct mark {
	enum mark_type type;
	uint64_t track, ts;
	const char *name, *category; /* not of an END */
	const uint64_t *flows; /* the arrows that go through it */
	size_t nr_flows;
	struct note notes[MARK_NOTES];
	size_t nr_notes;
};

void mark_number(struct mark *m, const char *name, uint64_t number);
void mark_address(struct mark *m, const char *name, uint64_t addr);
void mark_text(struct mark *m, const char *name, const char *text);
void packet_mark(struct packets *p, const struct mark *m);
void packet_value(struct packets *p, uint64_t track, uint64_t ts,
		  uint64_t value);

#endif
