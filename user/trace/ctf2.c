// SPDX-License-Identifier: GPL-2.0
/*
 * The same trace in CTF 2 (CTF2-SPEC-2.0). Its packets are the same, byte for
 * byte; its metadata is a JSON text sequence (RFC 7464). That is translated from
 * the TSDL of metadata.c, so that a layout is written down once. What is read
 * here is the TSDL that stands there, not all of TSDL.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "trace/format.h"
#include "trace/store.h"

/* --- words */

#define TSDL_WORD 1024

struct tsdl {
	const char *p; /* behind `word` */
	char word[TSDL_WORD]; /* "": the end; of a string, what is between the quotes */
	bool string;
	bool bad; /* it is none of our metadata, or there was no memory */
	json_t *types; /* what typealias and struct have named, by name */
	json_t *out; /* fragments */
};

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-';
}

static const char *skip(const char *p)
{
	for (;;) {
		const char *end = strncmp(p, "/*", 2) ? NULL : strstr(p, "*/");

		if (end)
			p = end + 2;
		else if (isspace((unsigned char)*p))
			p++;
		else
			return p;
	}
}

/* "..." and ":=" are words, too; every other mark is one of its own. */
static size_t word_length(const char *p)
{
	size_t n = 0;

	if (!strncmp(p, "...", 3))
		return 3;
	if (!strncmp(p, ":=", 2))
		return 2;
	while (is_name(p[n]))
		n++;
	return n ? n : *p != 0;
}

static void next(struct tsdl *t)
{
	const char *p = skip(t->p);
	size_t n;

	t->string = *p == '"';
	if (t->string) {
		p = metadata_string(p, t->word, sizeof(t->word));
		t->bad |= *p != '"';
		t->p = p + (*p == '"');
		return;
	}
	n = word_length(p);
	t->bad |= n >= sizeof(t->word);
	if (t->bad)
		n = 0;
	memcpy(t->word, p, n);
	t->word[n] = 0;
	t->p = p + n;
}

static bool at(const struct tsdl *t, const char *word)
{
	return !t->string && !strcmp(t->word, word);
}

static bool take(struct tsdl *t, const char *word)
{
	if (!at(t, word))
		return false;
	next(t);
	return true;
}

static void want(struct tsdl *t, const char *word)
{
	if (!take(t, word))
		t->bad = true;
}

static void take_name(struct tsdl *t, char name[TSDL_WORD])
{
	memcpy(name, t->word, TSDL_WORD);
	t->bad |= !is_name(name[0]);
	next(t);
}

static json_int_t take_number(struct tsdl *t)
{
	char *end;
	json_int_t n = strtoll(t->word, &end, 10);

	t->bad |= end == t->word || *end;
	next(t);
	return n;
}

/* --- field classes */

/* Fields that a reader must find, by the names that we give them (5.3 of each). */
static const struct {
	const char *name, *role;
} roles[] = {
	{ "magic", "packet-magic-number" },
	{ "uuid", "metadata-stream-uuid" },
	{ "stream_id", "data-stream-class-id" },
	{ "timestamp", "default-clock-timestamp" },
	{ "timestamp_begin", "default-clock-timestamp" },
	{ "timestamp_end", "packet-end-default-clock-timestamp" },
	{ "content_size", "packet-content-length" },
	{ "packet_size", "packet-total-length" },
	{ "packet_seq_num", "packet-sequence-number" },
	{ "events_discarded", "discarded-event-record-counter-snapshot" },
	{ "id", "event-record-class-id" },
};

/* Takes v over. NULL, in v or in o: there was no memory. */
static void put(struct tsdl *t, json_t *o, const char *key, json_t *v)
{
	t->bad |= json_object_set_new(o, key, v) != 0;
}

static void append(struct tsdl *t, json_t *array, json_t *v)
{
	t->bad |= json_array_append_new(array, v) != 0;
}

static json_int_t number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static const char *string_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static json_t *parse_type(struct tsdl *t, const json_t *before);
static json_t *parse_block(struct tsdl *t);

/* With an encoding it is a character, which parse_array() looks for. */
static json_t *parse_integer(struct tsdl *t)
{
	json_t *b = parse_block(t), *fc;
	const char *type = !strcmp(string_of(b, "signed"), "true") ?
				   "fixed-length-signed-integer" :
				   "fixed-length-unsigned-integer";

	fc = json_pack("{s:s, s:I, s:s, s:I}", "type", type, "length",
		       number_of(b, "size"), "byte-order", "little-endian",
		       "alignment", number_of(b, "align"));
	if (json_object_get(b, "base"))
		put(t, fc, "preferred-display-base",
		    json_integer(number_of(b, "base")));
	if (json_object_get(b, "encoding"))
		put(t, fc, "encoding", json_string("utf-8"));
	json_decref(b);
	return fc;
}

/* ": TYPE { NAME, NAME = 7, NAME = 9 ... 15 }" */
static json_t *parse_enum(struct tsdl *t)
{
	json_t *mappings = json_object(), *fc;
	json_int_t from = 0, to;
	char name[TSDL_WORD];

	want(t, ":");
	fc = parse_type(t, NULL);
	want(t, "{");
	do {
		take_name(t, name);
		if (take(t, "="))
			from = take_number(t);
		to = take(t, "...") ? take_number(t) : from;
		put(t, mappings, name, json_pack("[[II]]", from, to));
		from = to + 1;
	} while (take(t, ","));
	want(t, "}");
	put(t, fc, "mappings", mappings);
	return fc;
}

/* Another field of the same structure; ours refer to no others. */
static json_t *location(const char *name)
{
	return json_pack("{s:[s]}", "path", name);
}

/* Behind "TYPE NAME[" */
static json_t *parse_array(struct tsdl *t, json_t *element)
{
	json_t *fc;

	if (!isdigit((unsigned char)t->word[0])) {
		fc = json_pack("{s:s, s:o, s:o}", "type",
			       "dynamic-length-array", "length-field-location",
			       location(t->word), "element-field-class",
			       element);
		next(t);
	} else if (json_object_get(element, "encoding")) {
		json_decref(element);
		fc = json_pack("{s:s, s:I}", "type", "static-length-string",
			       "length", take_number(t));
	} else {
		fc = json_pack("{s:s, s:I, s:o}", "type", "static-length-array",
			       "length", take_number(t), "element-field-class",
			       element);
	}
	want(t, "]");
	return fc;
}

/* "TYPE NAME; TYPE NAME[LENGTH]; }" */
static json_t *parse_fields(struct tsdl *t)
{
	json_t *fields = json_array();
	char name[TSDL_WORD];

	while (!t->bad && !take(t, "}")) {
		json_t *fc = parse_type(t, fields);

		take_name(t, name);
		if (take(t, "["))
			fc = parse_array(t, fc);
		append(t, fields,
		       json_pack("{s:s, s:o}", "name", name, "field-class",
				 fc));
		want(t, ";");
	}
	return fields;
}

/* A copy, for it may be given roles. */
static json_t *named_type(struct tsdl *t)
{
	json_t *fc = json_deep_copy(json_object_get(t->types, t->word));

	t->bad |= !fc;
	next(t);
	return fc;
}

static json_t *parse_struct(struct tsdl *t)
{
	json_t *fc;

	if (!take(t, "{"))
		return named_type(t);
	fc = json_pack("{s:s, s:o}", "type", "structure", "member-classes",
		       parse_fields(t));
	if (take(t, "align")) {
		want(t, "(");
		put(t, fc, "minimum-alignment", json_integer(take_number(t)));
		want(t, ")");
	}
	return fc;
}

/* What the enumeration among these fields says of its names. */
static json_t *mappings_of(const json_t *fields, const char *name)
{
	json_t *f;
	size_t i;

	json_array_foreach(fields, i, f)
		if (!strcmp(string_of(f, "name"), name))
			return json_object_get(
				json_object_get(f, "field-class"), "mappings");
	return NULL;
}

/* "<SELECTOR> { TYPE NAME-OF-SELECTOR'S; }" */
static json_t *parse_variant(struct tsdl *t, const json_t *before)
{
	json_t *mappings, *options, *option;
	char selector[TSDL_WORD];
	size_t i;

	want(t, "<");
	take_name(t, selector);
	want(t, ">");
	want(t, "{");
	mappings = mappings_of(before, selector);
	options = parse_fields(t);
	json_array_foreach(options, i, option)
		put(t, option, "selector-field-ranges",
		    json_deep_copy(json_object_get(mappings,
						   string_of(option, "name"))));
	return json_pack("{s:s, s:o, s:o}", "type", "variant",
			 "selector-field-location", location(selector),
			 "options", options);
}

/* before: the fields that lie in front of it in its structure. */
static json_t *parse_type(struct tsdl *t, const json_t *before)
{
	if (take(t, "integer"))
		return parse_integer(t);
	if (take(t, "enum"))
		return parse_enum(t);
	if (take(t, "struct"))
		return parse_struct(t);
	if (take(t, "variant"))
		return parse_variant(t, before);
	if (take(t, "string"))
		return json_pack("{s:s}", "type", "null-terminated-string");
	return named_type(t);
}

static void give_role(struct tsdl *t, json_t *field)
{
	json_t *fc = json_object_get(field, "field-class");
	const char *name = string_of(field, "name");

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (strcmp(name, roles[i].name) != 0)
			continue;
		if (!strcmp(name, "uuid")) { /* an array of bytes in CTF 1.8 */
			fc = json_pack("{s:s, s:I}", "type",
				       "static-length-blob", "length",
				       number_of(fc, "length"));
			put(t, field, "field-class", fc);
		}
		put(t, fc, "roles", json_pack("[s]", roles[i].role));
	}
}

/* To the fields of a header, or of a packet's context. */
static json_t *with_roles(struct tsdl *t, json_t *fc)
{
	json_t *fields = json_object_get(fc, "member-classes"), *f;
	size_t i;

	if (!fields)
		fields = json_object_get(fc, "options");
	json_array_foreach(fields, i, f) {
		with_roles(t, json_object_get(f, "field-class"));
		give_role(t, f);
	}
	return fc;
}

/* --- blocks */

static json_t *parse_value(struct tsdl *t)
{
	json_t *v;

	if (!t->string &&
	    (isdigit((unsigned char)t->word[0]) || t->word[0] == '-'))
		return json_integer(take_number(t));
	v = json_string(t->word);
	if (!v) { /* no UTF-8 */
		for (char *c = t->word; *c; c++)
			if (*c & 0x80)
				*c = '?';
		v = json_string(t->word);
	}
	next(t);
	return v;
}

/* "{ NAME = VALUE; NAME := TYPE; }" */
static json_t *parse_block(struct tsdl *t)
{
	json_t *block = json_object();
	char name[TSDL_WORD];

	want(t, "{");
	while (!t->bad && !take(t, "}")) {
		take_name(t, name);
		if (take(t, ":=")) {
			put(t, block, name, parse_type(t, NULL));
		} else {
			want(t, "=");
			put(t, block, name, parse_value(t));
		}
		want(t, ";");
	}
	return block;
}

static void copy(struct tsdl *t, json_t *to, const char *key,
		 const json_t *block, const char *name)
{
	json_t *v = json_object_get(block, name);

	if (v)
		put(t, to, key, json_incref(v));
}

/* The same, of a class with roles. */
static void copy_header(struct tsdl *t, json_t *to, const char *key,
			const json_t *block, const char *name)
{
	copy(t, to, key, block, name);
	with_roles(t, json_object_get(to, key));
}

/* What is told of the trace, and its environment, stand in two blocks. */
static void put_trace(struct tsdl *t, const json_t *block)
{
	json_t *f = json_pack("{s:s}", "type", "trace-class");

	copy(t, f, "uid", block, "uuid");
	copy_header(t, f, "packet-header-field-class", block, "packet.header");
	append(t, t->out, f);
}

static void put_env(struct tsdl *t, const json_t *block)
{
	put(t, json_array_get(t->out, json_array_size(t->out) - 1),
	    "environment", json_deep_copy(block));
}

static void put_clock(struct tsdl *t, const json_t *block)
{
	json_t *f = json_pack("{s:s, s:s, s:{s:I, s:I}}", "type", "clock-class",
			      "origin", "unix-epoch", "offset-from-origin",
			      "seconds", number_of(block, "offset_s"), "cycles",
			      number_of(block, "offset"));

	copy(t, f, "id", block, "name");
	copy(t, f, "name", block, "name");
	copy(t, f, "description", block, "description");
	copy(t, f, "frequency", block, "freq");
	append(t, t->out, f);
}

static void put_stream(struct tsdl *t, const json_t *block)
{
	json_t *f = json_pack("{s:s, s:s}", "type", "data-stream-class",
			      "default-clock-class-id", "monotonic");

	copy(t, f, "id", block, "id");
	copy_header(t, f, "packet-context-field-class", block,
		    "packet.context");
	copy_header(t, f, "event-record-header-field-class", block,
		    "event.header");
	copy(t, f, "event-record-common-context-field-class", block,
	     "event.context");
	append(t, t->out, f);
}

static void put_event(struct tsdl *t, const json_t *block)
{
	json_t *f = json_pack("{s:s}", "type", "event-record-class");

	copy(t, f, "id", block, "id");
	copy(t, f, "name", block, "name");
	copy(t, f, "data-stream-class-id", block, "stream_id");
	copy(t, f, "payload-field-class", block, "fields");
	append(t, t->out, f);
}

static const struct {
	const char *name;
	void (*put)(struct tsdl *t, const json_t *block);
} blocks[] = {
	{ "trace", put_trace }, { "env", put_env },
	{ "clock", put_clock }, { "stream", put_stream },
	{ "event", put_event },
};

static void parse_typealias(struct tsdl *t)
{
	json_t *fc = parse_type(t, NULL);

	want(t, ":=");
	put(t, t->types, t->word, fc);
	next(t);
}

static void parse_named_struct(struct tsdl *t)
{
	char name[TSDL_WORD];

	take_name(t, name);
	put(t, t->types, name, parse_struct(t));
}

static void parse_one(struct tsdl *t)
{
	size_t i = 0, nr = sizeof(blocks) / sizeof(blocks[0]);

	if (take(t, "typealias")) {
		parse_typealias(t);
	} else if (take(t, "struct")) {
		parse_named_struct(t);
	} else {
		json_t *block;

		while (i < nr && !take(t, blocks[i].name))
			i++;
		block = parse_block(t);
		if (i < nr)
			blocks[i].put(t, block);
		t->bad |= i == nr;
		json_decref(block);
	}
	want(t, ";");
}

/* --- the sequence */

static json_t *preamble(const uint8_t uuid[16])
{
	json_t *bytes = json_array();

	for (int i = 0; i < 16; i++)
		json_array_append_new(bytes, json_integer(uuid[i]));
	return json_pack("{s:s, s:i, s:o}", "type", "preamble", "version", 2,
			 "uuid", bytes);
}

static char *sequence(const json_t *fragments)
{
	char *text = NULL;
	size_t bytes, i;
	FILE *f = open_memstream(&text, &bytes);
	json_t *fragment;
	bool bad = false;

	if (!f)
		return NULL;
	json_array_foreach(fragments, i, fragment) {
		putc(0x1e, f); /* RS */
		bad |= json_dumpf(fragment, f, JSON_COMPACT) != 0;
		putc('\n', f);
	}
	if (!fclose(f) && !bad)
		return text;
	free(text);
	return NULL;
}

char *metadata_ctf2(const uint8_t uuid[16], const struct trace_env *env)
{
	struct tsdl t = { .types = json_object(), .out = json_array() };
	char *tsdl = metadata_text(uuid, env), *text = NULL;

	t.bad = !tsdl;
	t.p = tsdl;
	append(&t, t.out, preamble(uuid));
	if (!t.bad)
		next(&t);
	while (!t.bad && (t.string || t.word[0]))
		parse_one(&t);
	if (!t.bad)
		text = sequence(t.out);
	json_decref(t.types);
	json_decref(t.out);
	free(tsdl);
	return text;
}

/* --- the directory */

/* That many bytes of a file into a new one. 0 or -errno. */
static int copy_bytes(int in, int out, uint64_t bytes)
{
	bool linked = true; /* the file system may share what it holds */

	while (bytes) {
		ssize_t n = linked ? copy_file_range(in, NULL, out, NULL, bytes,
						     0) :
				     sendfile(out, in, NULL, bytes);

		if (n > 0)
			bytes -= (uint64_t)n;
		else if (linked) /* not between these two, or not on it at all */
			linked = false;
		else if (!n)
			return -EIO; /* it was longer when it was read */
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

static int copy_file(int from, int to, const char *name, uint64_t bytes)
{
	int in = openat(from, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int out = in < 0 ?
			  -1 :
			  openat(to, name,
				 O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	int err = out < 0 ? -errno : copy_bytes(in, out, bytes);

	if (in >= 0)
		close(in);
	if (out >= 0 && close(out) && !err)
		err = -errno;
	return err;
}

struct copying {
	struct trace_reader *r;
	int from, to;
	uint64_t bytes, done;
	void (*show)(double done);
};

static void show_packet(struct copying *c, const struct trace_block *b)
{
	c->done += b->packet;
	c->show((double)c->done / (double)c->bytes);
}

/* Each file of the stream as far as it is sound. */
static int copy_stream(struct copying *c, size_t i)
{
	struct trace_place here, sound = { .offset = 0 };
	struct trace_block b;
	char name[STORE_NAME];
	uint32_t number;
	int err = 0, ret;

	trace_stream(c->r, i, &number);
	do {
		ret = trace_next(c->r, i, &b);
		here = trace_tell(c->r, i);
		if (ret == 1)
			show_packet(c, &b);
		if (sound.offset &&
		    (ret != 1 || here.segment != sound.segment)) {
			store_name(name, number, sound.segment);
			err = copy_file(c->from, c->to, name, sound.offset);
		}
		sound = here;
	} while (ret == 1 && !err);
	return err;
}

static int put_text(int to, const char *name, const char *text)
{
	int fd =
		openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	int err;

	if (!f)
		return -errno;
	fputs(text, f);
	err = ferror(f) ? -EIO : 0;
	return fclose(f) ? -errno : err;
}

static int put_metadata(const struct trace_reader *r, int to)
{
	uint8_t uuid[16];
	char *text;
	int err;

	trace_uuid(r, uuid);
	text = metadata_ctf2(uuid, trace_env(r));
	err = text ? put_text(to, "metadata", text) : -ENOMEM;
	free(text);
	return err;
}

int trace_ctf2(int from, int to, void (*show)(double done), uint64_t *damage,
	       char **why)
{
	struct copying c = { .from = from, .to = to, .show = show };
	int err;

	c.r = trace_open(from, why);
	if (!c.r)
		return -EINVAL;
	c.bytes = trace_bytes(c.r);
	err = put_metadata(c.r, to);
	for (size_t i = 0; !err && i < trace_streams(c.r); i++)
		err = copy_stream(&c, i);
	*damage = trace_damage(c.r);
	trace_reader_free(c.r);
	return err;
}
