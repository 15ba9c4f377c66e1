// SPDX-License-Identifier: GPL-2.0
/*
 * A profile is one protobuf message, and protobuf messages may be written in
 * pieces: what is repeated is the pieces', one after the other. So each string,
 * function, location and sample is written as soon as it is known.
 *
 * The names of the sample types are those that pprof's own heap profiles have,
 * for its readers know these.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "export/export.h"
#include "export/gzip.h"
#include "export/intern.h"
#include "export/profile.pb-c.h"
#include "output/rows.h"
#include "output/text.h"

typedef Perftools__Profiles__Profile Profile;
typedef Perftools__Profiles__ValueType ValueType;
typedef Perftools__Profiles__Sample Sample;
typedef Perftools__Profiles__Label Label;
typedef Perftools__Profiles__Mapping Mapping;
typedef Perftools__Profiles__Location Location;
typedef Perftools__Profiles__Line Line;
typedef Perftools__Profiles__Function Function;

enum value {
	INUSE_OBJECTS,
	INUSE_SPACE,
	ALLOC_OBJECTS,
	ALLOC_SPACE,
	RESIDENT_SPACE,
	UNTOUCHED_SPACE,
	HOSTAGE_SPACE,
	VALUES,
};

static const struct {
	const char *type, *unit;
} value_names[VALUES] = {
	[INUSE_OBJECTS] = { "inuse_objects", "count" },
	[INUSE_SPACE] = { "inuse_space", "bytes" },
	[ALLOC_OBJECTS] = { "alloc_objects", "count" },
	[ALLOC_SPACE] = { "alloc_space", "bytes" },
	[RESIDENT_SPACE] = { "resident_space", "bytes" },
	[UNTOUCHED_SPACE] = { "untouched_space", "bytes" },
	[HOSTAGE_SPACE] = { "hostage_space", "bytes" },
};

struct pprof {
	const struct export *x;
	const struct space *s;
	struct gzip gz;
	struct intern strings;
	struct hash locations, functions, mappings; /* -> id */
	uint64_t nr_locations, nr_mappings;
	size_t nr_spaces;
	bool known[VALUES];
	int err;
};

static void fail(struct pprof *p, int err)
{
	if (!p->err)
		p->err = err;
}

static void put(struct pprof *p, const Profile *piece)
{
	size_t size = perftools__profiles__profile__get_packed_size(piece);
	uint8_t *buf = malloc(size);

	if (!buf) {
		fail(p, -ENOMEM);
		return;
	}
	perftools__profiles__profile__pack(piece, buf);
	gzip_write(&p->gz, buf, size);
	free(buf);
}

/* Its index: the first string is "". */
static int64_t string(struct pprof *p, const char *text)
{
	const char *fresh;
	uint64_t nr = intern(&p->strings, text, &fresh);
	Profile piece = PERFTOOLS__PROFILES__PROFILE__INIT;

	if (fresh) {
		piece.n_string_table = 1;
		piece.string_table = (char **)&fresh;
		put(p, &piece);
	}
	if (nr)
		return (int64_t)nr - 1;
	fail(p, -ENOMEM);
	return 0;
}

/* An id that was not given yet, or 0; *known is the one that was. */
static uint64_t new_id(struct pprof *p, struct hash *h, uint64_t a, uint64_t b,
		       uint64_t next, uint64_t *known)
{
	*known = (uintptr_t)hash_get(h, a, b);
	if (*known)
		return 0;
	if (hash_put(h, a, b, (void *)(uintptr_t)next))
		fail(p, -ENOMEM);
	return next;
}

/* --- where */

/* A function's id is its name's. */
static uint64_t function(struct pprof *p, const char *name)
{
	Profile piece = PERFTOOLS__PROFILES__PROFILE__INIT;
	Function f = PERFTOOLS__PROFILES__FUNCTION__INIT;
	int64_t text = string(p, name);
	uint64_t id = (uint64_t)text + 1, known;

	if (!new_id(p, &p->functions, id, 0, id, &known))
		return known;
	f.id = id;
	f.name = f.system_name = text;
	piece.n_function = 1;
	piece.function = (Function *[]){ &f };
	put(p, &piece);
	return id;
}

static int64_t build_id(struct pprof *p, const struct vma_desc *d)
{
	const struct file_name *file =
		model_file(p->x->o->model, d->dev, d->ino);
	char hex[2 * BUILD_ID_MAX + 1] = "";
	unsigned int i;

	for (i = 0; file && i < file->build_id_len; i++)
		snprintf(hex + 2 * i, 3, "%02x", file->build_id[i]);
	return string(p, hex);
}

/* The mapping that holds an address; 0: none does now. */
static uint64_t mapping(struct pprof *p, uint64_t addr)
{
	const struct vma *v = vma_map_find(p->s->vmas, addr);
	Profile piece = PERFTOOLS__PROFILES__PROFILE__INIT;
	Mapping m = PERFTOOLS__PROFILES__MAPPING__INIT;
	uint64_t known;

	if (!v || !(v->d.flags & VMA_FILE))
		return 0;
	m.id = new_id(p, &p->mappings, v->d.start, p->s->mm, p->nr_mappings + 1,
		      &known);
	if (!m.id)
		return known;
	p->nr_mappings++;
	m.memory_start = v->d.start;
	m.memory_limit = v->d.end;
	m.file_offset = v->d.offset;
	m.filename = string(p, model_vma_name(p->x->o->model, p->s, v));
	m.build_id = build_id(p, &v->d);
	m.has_functions = true;
	piece.n_mapping = 1;
	piece.mapping = (Mapping *[]){ &m };
	put(p, &piece);
	return m.id;
}

static void put_location(struct pprof *p, uint64_t id, uint64_t addr,
			 const uint64_t *functions, size_t nr)
{
	Profile piece = PERFTOOLS__PROFILES__PROFILE__INIT;
	Location loc = PERFTOOLS__PROFILES__LOCATION__INIT;
	Line lines[nr], *refs[nr];

	for (size_t i = 0; i < nr; i++) {
		lines[i] = (Line)PERFTOOLS__PROFILES__LINE__INIT;
		lines[i].function_id = functions[i];
		refs[i] = &lines[i];
	}
	loc.id = id;
	loc.address = addr;
	loc.mapping_id = addr ? mapping(p, addr) : 0;
	loc.n_line = nr;
	loc.line = refs;
	piece.n_location = 1;
	piece.location = (Location *[]){ &loc };
	put(p, &piece);
}

/* A function without its file, or the file with the offset in it. */
static const char *place_name(struct pprof *p, const struct symbol *sym,
			      uint64_t addr, char *buf, size_t size)
{
	const struct output *o = p->x->o;

	return sym->function ? sym->function :
			       symbols_name(o->symbols, o->model, p->s, addr, 1,
					    buf, size);
}

/* Of a return address; pprof wants the address of the call. */
static uint64_t location(struct pprof *p, uint64_t frame)
{
	const struct output *o = p->x->o;
	uint64_t addr = frame - 1, known, id;
	struct symbol sym;
	char buf[512];

	id = new_id(p, &p->locations, addr, p->s->mm, p->nr_locations + 1,
		    &known);
	if (!id)
		return known;
	p->nr_locations++;
	sym = symbols_find(o->symbols, o->model, p->s, addr);
	uint64_t functions[sym.nr_inlined + 1];

	for (size_t i = 0; i < sym.nr_inlined; i++)
		functions[i] = function(p, sym.inlined[i]);
	functions[sym.nr_inlined] =
		function(p, place_name(p, &sym, addr, buf, sizeof(buf)));
	put_location(p, id, addr, functions, sym.nr_inlined + 1);
	return id;
}

/* A place that has a name alone. */
static uint64_t no_location(struct pprof *p, const char *name)
{
	uint64_t f = function(p, name), known;
	uint64_t id = new_id(p, &p->locations, f, UINT64_MAX,
			     p->nr_locations + 1, &known);

	if (!id)
		return known;
	p->nr_locations++;
	put_location(p, id, 0, &f, 1);
	return id;
}

/* --- samples */

static void put_sample(struct pprof *p, uint64_t *where, size_t nr,
		       const int64_t values[VALUES])
{
	Profile piece = PERFTOOLS__PROFILES__PROFILE__INIT;
	Sample sample = PERFTOOLS__PROFILES__SAMPLE__INIT;
	Label pid = PERFTOOLS__PROFILES__LABEL__INIT;
	Label comm = PERFTOOLS__PROFILES__LABEL__INIT;
	Label mm = PERFTOOLS__PROFILES__LABEL__INIT;
	int64_t told[VALUES];
	size_t n = 0;

	for (int i = 0; i < VALUES; i++)
		if (p->known[i])
			told[n++] = values[i];
	pid.key = string(p, "pid");
	pid.num = p->s->owner;
	comm.key = string(p, "process");
	comm.str = string(p, p->s->comm);
	sample.n_location_id = nr;
	sample.location_id = where;
	sample.n_value = n;
	sample.value = told;
	mm.key = string(p, "mm");
	mm.num = (int64_t)p->s->mm;
	sample.n_label = 3;
	sample.label = (Label *[]){ &pid, &comm, &mm };
	piece.n_sample = 1;
	piece.sample = (Sample *[]){ &sample };
	put(p, &piece);
}

static void put_row(struct pprof *p, uint64_t where,
		    const int64_t values[VALUES])
{
	const struct stack *st = model_stack(p->x->o->model, where);
	size_t nr = st ? st->nr : 0, i;
	uint64_t *at = malloc((nr + 2) * sizeof(*at));

	if (!at) {
		fail(p, -ENOMEM);
		return;
	}
	for (i = 0; i < nr; i++)
		at[i] = location(p, st->frames[i]);
	if (!st && where && where != CALLER_STACK)
		at[nr++] = location(p, where);
	if (!st || st->truncated)
		at[nr++] = no_location(p, "[not known]");
	put_sample(p, at, nr, values);
	free(at);
}

/* --- a space */

/* Allocations of which the stack is not known: all, less those of which it is. */
static void put_rest(struct pprof *p, const int64_t sums[VALUES])
{
	int64_t rest[VALUES] = { 0 };
	enum call_op op;

	if (!p->known[ALLOC_SPACE])
		return;
	for (op = CALL_NONE; op < CALL_OP_MAX; op++) {
		const struct op_tally *t = &p->s->ops[op];

		if (op == CALL_FREE)
			continue;
		rest[ALLOC_OBJECTS] += (int64_t)(t->calls - t->failed);
		rest[ALLOC_SPACE] += (int64_t)t->bytes;
	}
	rest[ALLOC_OBJECTS] -= sums[ALLOC_OBJECTS];
	rest[ALLOC_SPACE] -= sums[ALLOC_SPACE];
	if (rest[ALLOC_OBJECTS] || rest[ALLOC_SPACE])
		put_row(p, 0, rest);
}

/* What the pages are that a place keeps; nothing where that is not known. */
static void add_waste(const struct pprof *p, uint64_t where, int64_t v[VALUES])
{
	const struct waste *w = p->x->waste;
	uintptr_t nr = w ? (uintptr_t)hash_get(&w->index, where, 0) : 0;

	if (!nr)
		return;
	v[RESIDENT_SPACE] = (int64_t)w->sites[nr - 1].pages.resident;
	v[UNTOUCHED_SPACE] = (int64_t)w->sites[nr - 1].pages.untouched;
	v[HOSTAGE_SPACE] = w->sites[nr - 1].hostage;
}

/* Pages without a live byte are nobody's. */
static void put_nobody(struct pprof *p)
{
	const struct waste *w = p->x->waste;
	int64_t v[VALUES] = { 0 };
	uint64_t at;

	if (!p->known[RESIDENT_SPACE])
		return;
	v[RESIDENT_SPACE] = (int64_t)w->none.resident;
	v[UNTOUCHED_SPACE] = (int64_t)w->none.untouched;
	at = no_location(p, "[no live byte]");
	put_sample(p, &at, 1, v);
}

/* Whoever reads it takes the first mapping for the program's; it lies lowest. */
static void put_program(struct pprof *p)
{
	const struct vma_map *map = p->s->vmas;

	for (size_t i = 0; i < vma_map_count(map); i++) {
		const struct vma_desc *d = &vma_map_at(map, i)->d;

		if (d->flags & VMA_FILE && d->flags & VMA_EXEC) {
			mapping(p, d->start);
			return;
		}
	}
}

static void put_space(struct pprof *p)
{
	struct stack_rows r = { 0 };
	int err = stack_rows_add(p->x->o, p->s, &r);
	int64_t sums[VALUES] = { 0 };

	put_program(p);
	for (size_t i = 0; !err && i < r.nr; i++) {
		const struct stack_row *row = &r.at[i];
		int64_t v[VALUES] = {
			[INUSE_OBJECTS] = (int64_t)row->live_chunks,
			[INUSE_SPACE] = (int64_t)row->live_bytes,
			[ALLOC_OBJECTS] = (int64_t)row->allocs,
			[ALLOC_SPACE] = (int64_t)row->asked,
		};

		add_waste(p, row->where, v);
		sums[ALLOC_OBJECTS] += v[ALLOC_OBJECTS];
		sums[ALLOC_SPACE] += v[ALLOC_SPACE];
		put_row(p, row->where, v);
	}
	if (err)
		fail(p, err);
	else
		put_rest(p, sums);
	put_nobody(p);
	stack_rows_free(&r);
}

/* --- the profile */

static const struct space *space_at(const struct export *x, size_t i)
{
	return x->only ? x->only : model_space_at(x->o->model, i);
}

static void find_known(struct pprof *p)
{
	const struct export *x = p->x;
	bool calls = false;

	for (size_t i = 0; i < p->nr_spaces; i++)
		calls |= space_at(x, i)->has_calls;
	p->known[INUSE_OBJECTS] = p->known[INUSE_SPACE] = calls;
	p->known[ALLOC_OBJECTS] = p->known[ALLOC_SPACE] =
		calls && x->o->stack_bytes == 1;
	p->known[RESIDENT_SPACE] = p->known[UNTOUCHED_SPACE] =
		calls && x->waste && x->waste->pages_known;
	p->known[HOSTAGE_SPACE] = calls && x->waste && x->waste->hostage_known;
	if (!calls)
		fail(p, -ENODATA);
}

static void put_types(struct pprof *p)
{
	Profile piece;
	ValueType type;

	for (int i = 0; i < VALUES; i++) {
		if (!p->known[i])
			continue;
		piece = (Profile)PERFTOOLS__PROFILES__PROFILE__INIT;
		type = (ValueType)PERFTOOLS__PROFILES__VALUE_TYPE__INIT;
		type.type = string(p, value_names[i].type);
		type.unit = string(p, value_names[i].unit);
		piece.n_sample_type = 1;
		piece.sample_type = (ValueType *[]){ &type };
		put(p, &piece);
	}
}

static void comment(struct pprof *p, const char *text)
{
	Profile piece = PERFTOOLS__PROFILES__PROFILE__INIT;
	int64_t nr = string(p, text);

	piece.n_comment = 1;
	piece.comment = &nr;
	put(p, &piece);
}

/* What the figures lack. */
static void put_comments(struct pprof *p)
{
	const struct export *x = p->x;
	bool before = false, lost = false;

	for (size_t i = 0; i < p->nr_spaces; i++) {
		const struct space *s = space_at(x, i);

		before |= !space_knows_all_chunks(s);
		lost |= s->calls_lost;
	}
	comment(p, "vmaheap");
	if (before)
		comment(p,
			"chunks from before the watch are not known, and not counted");
	if (lost)
		comment(p, "allocator events were lost: counts are too small");
	if (x->o->stack_bytes > 1)
		comment(p,
			"stacks were sampled: the others are a direct caller alone");
}

static void put_times(struct pprof *p)
{
	const struct output *o = p->x->o;
	Profile piece = PERFTOOLS__PROFILES__PROFILE__INIT;
	ValueType type = PERFTOOLS__PROFILES__VALUE_TYPE__INIT;

	piece.time_nanos = (int64_t)o->now + p->x->clock_offset;
	piece.duration_nanos =
		o->now > o->start ? (int64_t)(o->now - o->start) : 0;
	type.type = string(p, "space");
	type.unit = string(p, "bytes");
	piece.period_type = &type;
	piece.period = o->stack_bytes > 1 ? (int64_t)o->stack_bytes : 1;
	piece.default_sample_type = string(p, value_names[INUSE_SPACE].type);
	put(p, &piece);
}

int export_pprof(const struct export *x)
{
	struct pprof p = { .x = x,
			   .nr_spaces = x->only ? 1 :
						  model_spaces(x->o->model) };
	int err;

	find_known(&p);
	if (p.err)
		return p.err;
	gzip_begin(&p.gz, x->o->f);
	string(&p, "");
	put_types(&p);
	put_times(&p);
	put_comments(&p);
	for (size_t i = 0; i < p.nr_spaces && !p.err; i++) {
		p.s = space_at(x, i);
		put_space(&p);
	}
	err = gzip_end(&p.gz);
	intern_free(&p.strings);
	hash_destroy(&p.locations);
	hash_destroy(&p.functions);
	hash_destroy(&p.mappings);
	return p.err ? p.err : err ? err : output_status(x->o->f);
}
