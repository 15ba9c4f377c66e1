// SPDX-License-Identifier: GPL-2.0
/*
 * The metadata: TSDL (CTF 1.8, appendix C) that describes kmod/uapi/vmaheap.h,
 * trace.h and probe/words.h bit by bit. Whoever changes one of them changes this
 * text; the unit tests have babeltrace2 read what they wrote.
 *
 * Three peculiarities. Event headers of records are aligned to 64 bits: that is
 * how the padding behind a path is skipped. An allocator event's header is a
 * variant, as in CTF 1.8, 6.1.1; when it has a timestamp, the id of the event
 * follows behind it, and the last field named `id` counts. And no other field
 * is mapped to the clock, so that events without a timestamp happen when the
 * one before them did, or when their packet began.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/words.h"
#include "trace/format.h"

#define SIGNATURE "/* CTF 1.8 */\n"
#define VERSION_MAJOR 0
#define VERSION_MINOR 4

/* TSDL, line by line. */
/* clang-format off */
static const char types[] =
	"typealias integer { size = 4; align = 1; } := u4;\n"
	"typealias integer { size = 6; align = 1; } := u6;\n"
	"typealias integer { size = 7; align = 1; } := u7;\n"
	"typealias integer { size = 13; align = 1; } := u13;\n"
	"typealias integer { size = 47; align = 1; base = 16; } := x47;\n"
	"typealias integer { size = 60; align = 1; } := u60;\n"
	"typealias integer { size = 60; align = 1; map = clock.monotonic.value; } := ts60;\n"
	/* A struct is aligned as its widest field, so bytes cannot follow 4 bits. */
	"typealias integer { size = 8; align = 1; } := more8;\n"
	"typealias integer { size = 64; align = 1; } := size64;\n"
	"typealias integer { size = 64; align = 1; base = 16; } := addr64;\n"
	"typealias integer { size = 8; align = 8; encoding = UTF8; } := char8;\n"
	"typealias integer { size = 8; align = 8; } := u8;\n"
	"typealias integer { size = 8; align = 8; base = 16; } := x8;\n"
	"typealias integer { size = 16; align = 8; } := u16;\n"
	"typealias integer { size = 16; align = 8; base = 16; } := x16;\n"
	"typealias integer { size = 32; align = 8; } := u32;\n"
	"typealias integer { size = 32; align = 8; base = 16; } := x32;\n"
	"typealias integer { size = 32; align = 8; signed = true; } := s32;\n"
	"typealias integer { size = 64; align = 8; } := u64;\n"
	"typealias integer { size = 64; align = 8; base = 16; } := x64;\n"
	"typealias integer { size = 64; align = 8; map = clock.monotonic.value; } := ts64;\n"
	"\n";

static const char streams[] =
	"struct record_header {\n"
	"	ts64 timestamp;\n"
	"	u16 id;\n"
	"} align(64);\n"
	"\n"
	"struct record_context {\n"
	"	x16 flags;\n"
	"	u32 size;\n"
	"	u64 seq;\n"
	"	u64 mm;\n"
	"	u32 tgid;\n"
	"	u32 tid;\n"
	"};\n"
	"\n"
	"struct packet_context {\n"
	"	ts64 timestamp_begin;\n"
	"	ts64 timestamp_end;\n"
	"	u64 content_size;\n"
	"	u64 packet_size;\n"
	"	u64 packet_seq_num;\n"
	"	u64 events_discarded;\n"
	"};\n"
	"\n"
	"struct alloc_packet_context {\n"
	"	ts64 timestamp_begin;\n"
	"	ts64 timestamp_end;\n"
	"	u64 content_size;\n"
	"	u64 packet_size;\n"
	"	u64 packet_seq_num;\n"
	"	u64 events_discarded;\n"
	"	u32 tgid;\n"
	"	u32 tid;\n"
	"	x64 alloc_caller;\n"
	"	x64 free_caller;\n"
	"};\n"
	"\n"
	"struct alloc_header {\n"
	"	enum : u4 { plain = 0 ... 7, stamp = 8, more = 9 ... 15 } id;\n"
	"	variant <id> {\n"
	"		struct { } plain;\n"
	"		struct { ts60 timestamp; u4 id; } stamp;\n"
	"		struct { } more;\n"
	"	} v;\n"
	"};\n"
	"\n"
	"stream {\n"
	"	id = 1;\n"
	"	packet.context := struct packet_context;\n"
	"	event.header := struct record_header;\n"
	"	event.context := struct record_context;\n"
	"};\n"
	"\n"
	"stream {\n"
	"	id = 2;\n"
	"	packet.context := struct packet_context;\n"
	"	event.header := struct record_header;\n"
	"	event.context := struct record_context;\n"
	"};\n"
	"\n"
	"stream {\n"
	"	id = 4;\n"
	"	packet.context := struct packet_context;\n"
	"	event.header := struct record_header;\n"
	"	event.context := struct record_context;\n"
	"};\n"
	"\n"
	"stream {\n"
	"	id = 3;\n"
	"	packet.context := struct alloc_packet_context;\n"
	"	event.header := struct alloc_header;\n"
	"};\n"
	"\n";

/* The types of a RANGE's VMAs, of the samples in a RESIDENT note, of what a FOUND one tells. */
static const char structs[] =
	"struct vma {\n"
	"	x64 start;\n"
	"	x64 end;\n"
	"	x64 offset;\n"
	"	u64 ino;\n"
	"	x32 dev;\n"
	"	x32 flags;\n"
	"};\n"
	"\n"
	"struct vma_resident {\n"
	"	x64 start;\n"
	"	x64 end;\n"
	"	u64 resident;\n"
	"	u64 swapped;\n"
	"	u64 live_resident;\n"
	"	u64 huge;\n"
	"};\n"
	"\n"
	"struct found_chunk {\n"
	"	x64 addr;\n"
	"	x64 size;\n" /* bit 63: not in use, see model/event.h */
	"};\n"
	"\n";
/* clang-format on */

#define SHORT "u13 size; x47 addr;"
#define SHORT_OLD "u13 unused; x47 addr;"
#define LONG                                                              \
	"enum : u6 { none, malloc, free, calloc, realloc, reallocarray, " \
	"memalign, aligned_alloc, posix_memalign, valloc, pvalloc } op; " \
	"u7 align_log2; x47 addr; size64 size;"
/* What follows a body that is packed with PACKED_MORE (format.h). */
#define MORE                                                        \
	" enum : more8 { known = 0 ... 239, caller = 240, "         \
	"begin = 241, begin_caller = 242 } more; variant <more> { " \
	"struct { } known; struct { addr64 caller; } caller; "      \
	"struct { size64 begin; } begin; "                          \
	"struct { size64 begin; addr64 caller; } begin_caller; } with;"

static const struct {
	unsigned int id;
	enum trace_stream_kind stream;
	const char *name, *fields;
} events[] = {
	{ VMAHEAP_REC_MM, TRACE_KERNEL, "mm",
	  "u64 parent_mm; enum : u32 { attach = 1, fork, exec } cause; "
	  "u32 owner; u32 parent; u32 pad; char8 comm[16];" },
	{ VMAHEAP_REC_RANGE, TRACE_KERNEL, "range",
	  "x64 lo; x64 hi; x64 args[6]; x64 ip; x64 sp; x64 start_brk; x64 brk; "
	  "x64 start_stack; u64 rss_file; u64 rss_anon; u64 rss_shmem; u64 swap; "
	  "s32 syscall; u32 map_count; u32 coalesced; u32 nr_vmas; "
	  "struct vma vmas[nr_vmas];" },
	{ VMAHEAP_REC_FILE, TRACE_KERNEL, "file",
	  "u64 ino; x32 dev; u32 len; string path;" },
	{ VMAHEAP_REC_MM_EXIT, TRACE_KERNEL, "mm_exit",
	  "u64 rss_file; u64 rss_anon; u64 rss_shmem; u64 swap; u64 hiwater_rss;" },
	{ VMAHEAP_REC_TASK, TRACE_KERNEL, "task", "u32 owner; u32 parent;" },
	{ VMAHEAP_REC_TASK_EXIT, TRACE_KERNEL, "task_exit",
	  "s32 status; u32 pad;" },
	{ VMAHEAP_REC_MADVISE, TRACE_KERNEL, "madvise",
	  "x64 addr; u64 len; s32 advice; u32 pad;" },
	{ VMAHEAP_REC_LOST, TRACE_KERNEL, "lost",
	  "enum : u32 { child = 1, exec, madvise, file, failed, fault } what; u32 count;" },
	{ VMAHEAP_REC_FAILED, TRACE_KERNEL, "failed",
	  "x64 args[6]; s32 syscall; s32 error; "
	  "enum : u32 { unknown, max_map_count, rlimit_as, rlimit_data } reason; "
	  "u32 map_count;" },
	{ VMAHEAP_REC_FAULT, TRACE_KERNEL, "fault",
	  "x64 addr; x64 ip; s32 syscall; u32 pad;" },

	{ TRACE_NOTE_RESIDENT, TRACE_NOTES, "resident",
	  "u32 nr_vmas; u32 unused; struct vma_resident vmas[nr_vmas];" },
	{ TRACE_NOTE_VERIFY, TRACE_NOTES, "verify",
	  "u32 vmas; u32 mismatches;" },
	{ TRACE_NOTE_ALLOCATOR, TRACE_NOTES, "allocator",
	  "u32 is_static; u32 settings_known; char8 kind[16]; char8 file[224]; char8 settings[256];" },
	{ TRACE_NOTE_FOUND, TRACE_NOTES, "found",
	  "u32 nr_chunks; x32 flags; struct found_chunk chunks[nr_chunks];" },

	/* A caller of an event that has this id means this stack. */
	{ TRACE_TABLE_STACK, TRACE_TABLES, "stack",
	  "x64 id; u32 truncated; u32 nr_frames; x64 frames[nr_frames];" },
	{ TRACE_TABLE_BUILD_ID, TRACE_TABLES, "build_id",
	  "u64 ino; x32 dev; u32 len; x8 bytes[len];" },

	{ WORD_MALLOC, TRACE_ALLOC, "malloc", SHORT },
	{ WORD_FREE, TRACE_ALLOC, "free", SHORT_OLD },
	{ WORD_CALLOC, TRACE_ALLOC, "calloc", SHORT },
	{ WORD_REALLOC, TRACE_ALLOC, "realloc", SHORT_OLD },
	{ WORD_REALLOCED, TRACE_ALLOC, "realloced", SHORT },
	{ WORD_ALLOC, TRACE_ALLOC, "alloc", LONG },
	{ WORD_LEAVE, TRACE_ALLOC, "leave", "u60 unused;" },

	{ PACKED_MORE | WORD_MALLOC, TRACE_ALLOC, "malloc", SHORT MORE },
	{ PACKED_MORE | WORD_FREE, TRACE_ALLOC, "free", SHORT_OLD MORE },
	{ PACKED_MORE | WORD_CALLOC, TRACE_ALLOC, "calloc", SHORT MORE },
	{ PACKED_MORE | WORD_REALLOC, TRACE_ALLOC, "realloc", SHORT_OLD MORE },
	{ PACKED_MORE | WORD_REALLOCED, TRACE_ALLOC, "realloced", SHORT MORE },
	{ PACKED_MORE | WORD_ALLOC, TRACE_ALLOC, "alloc", LONG MORE },
	{ PACKED_MORE | WORD_LEAVE, TRACE_ALLOC, "leave", "u60 unused;" MORE },
};

/* A TSDL string literal has the escapes of C. */
static void put_string(FILE *f, const char *name, const char *s)
{
	fprintf(f, "	%s = \"", name);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else if (c < ' ' || c == 0x7f)
			fprintf(f, "\\%03o", c);
		else
			fputc(c, f);
	}
	fputs("\";\n", f);
}

static void put_uuid(FILE *f, const uint8_t u[16])
{
	int i;

	fputs("	uuid = \"", f);
	for (i = 0; i < 16; i++)
		fprintf(f, "%s%02x",
			i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
	fputs("\";\n", f);
}

static void put_trace(FILE *f, const uint8_t uuid[16])
{
	fputs("trace {\n	major = 1;\n	minor = 8;\n", f);
	put_uuid(f, uuid);
	fputs("	byte_order = le;\n"
	      "	packet.header := struct {\n"
	      "		integer { size = 32; align = 8; base = 16; } magic;\n"
	      "		integer { size = 8; align = 8; } uuid[16];\n"
	      "		integer { size = 32; align = 8; } stream_id;\n"
	      "	};\n};\n\n",
	      f);
}

static void put_env(FILE *f, const struct trace_env *env)
{
	fputs("env {\n	tracer_name = \"vmaheap\";\n", f);
	fprintf(f, "	tracer_major = %d;\n	tracer_minor = %d;\n",
		VERSION_MAJOR, VERSION_MINOR);
	put_string(f, "kernel_release", env->release);
	put_string(f, "command", env->command);
	put_string(f, "alloc_source", env->alloc);
	fprintf(f, "	stack_bytes = %llu;\n",
		(unsigned long long)env->stack_bytes);
	fputs("};\n\n", f);
}

/*
 * offset: where on the real time's scale the monotonic clock's 0 lies. `absolute`
 * says that, and lets a viewer lay traces side by side.
 */
static void put_clock(FILE *f, int64_t offset_ns)
{
	int64_t s = offset_ns / 1000000000, ns = offset_ns % 1000000000;

	if (ns < 0) {
		s--;
		ns += 1000000000;
	}
	fprintf(f,
		"clock {\n"
		"	name = monotonic;\n"
		"	description = \"CLOCK_MONOTONIC\";\n"
		"	freq = 1000000000;\n"
		"	offset_s = %lld;\n"
		"	offset = %lld;\n"
		"	absolute = true;\n"
		"};\n\n",
		(long long)s, (long long)ns);
}

static void put_events(FILE *f)
{
	size_t i;

	for (i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		fprintf(f,
			"event {\n	name = \"%s\";\n	id = %u;\n	stream_id = %d;\n"
			"	fields := struct { %s };\n};\n\n",
			events[i].name, events[i].id, events[i].stream,
			events[i].fields);
}

char *metadata_text(const uint8_t uuid[16], const struct trace_env *env)
{
	char *text = NULL;
	size_t bytes;
	FILE *f = open_memstream(&text, &bytes);

	if (!f)
		return NULL;
	fputs(SIGNATURE "\n", f);
	put_trace(f, uuid);
	put_env(f, env);
	put_clock(f, env->clock_offset_ns);
	fputs(types, f);
	fputs(streams, f);
	fputs(structs, f);
	put_events(f);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

/* Behind "\tNAME = " at the start of a line, or NULL. */
static const char *value_of(const char *text, const char *name)
{
	char key[64];
	const char *p;

	snprintf(key, sizeof(key), "\n	%s = ", name);
	p = strstr(text, key);
	return p ? p + strlen(key) : NULL;
}

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* Undoes put_string(). */
const char *metadata_string(const char *p, char *out, size_t size)
{
	size_t n = 0;

	p++;
	while (*p && *p != '"' && n + 1 < size) {
		if (*p == '\\' && is_octal(p[1]) && is_octal(p[2]) &&
		    is_octal(p[3])) {
			out[n++] = (char)((p[1] - '0') << 6 |
					  (p[2] - '0') << 3 | (p[3] - '0'));
			p += 4;
			continue;
		}
		if (*p == '\\' && p[1])
			p++;
		out[n++] = *p++;
	}
	out[n] = 0;
	return p;
}

static void get_string(const char *text, const char *name, char *out,
		       size_t size)
{
	const char *p = value_of(text, name);

	out[0] = 0;
	if (p && *p == '"')
		metadata_string(p, out, size);
}

static long long get_number(const char *text, const char *name)
{
	const char *p = value_of(text, name);

	return p ? strtoll(p, NULL, 10) : 0;
}

static bool get_uuid(const char *text, uint8_t uuid[16])
{
	const char *p = value_of(text, "uuid");
	int i, used;

	if (!p || *p++ != '"')
		return false;
	for (i = 0; i < 16; i++) {
		if (*p == '-')
			p++;
		if (sscanf(p, "%2hhx%n", &uuid[i], &used) != 1 || used != 2)
			return false;
		p += 2;
	}
	return true;
}

__attribute__((format(printf, 1, 2))) static char *sentence(const char *fmt,
							    ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return s;
}

char *metadata_parse(const char *text, uint8_t uuid[16], struct trace_env *env)
{
	char tracer[32];
	long long major, minor;

	memset(env, 0, sizeof(*env));
	if (strncmp(text, SIGNATURE, strlen(SIGNATURE)))
		return sentence("its metadata is not CTF 1.8 text");
	get_string(text, "tracer_name", tracer, sizeof(tracer));
	if (strcmp(tracer, "vmaheap"))
		return sentence("it is a trace of '%s', not of vmaheap",
				tracer);
	major = get_number(text, "tracer_major");
	minor = get_number(text, "tracer_minor");
	if (major != VERSION_MAJOR || minor != VERSION_MINOR)
		return sentence(
			"it is in format %lld.%lld, this program reads %d.%d",
			major, minor, VERSION_MAJOR, VERSION_MINOR);
	if (!get_uuid(text, uuid))
		return sentence("its metadata has no uuid");
	get_string(text, "kernel_release", env->release, sizeof(env->release));
	get_string(text, "command", env->command, sizeof(env->command));
	get_string(text, "alloc_source", env->alloc, sizeof(env->alloc));
	env->stack_bytes = (uint64_t)get_number(text, "stack_bytes");
	env->clock_offset_ns =
		(int64_t)((uint64_t)get_number(text, "offset_s") * 1000000000 +
			  (uint64_t)get_number(text, "offset"));
	return NULL;
}
