// SPDX-License-Identifier: GPL-2.0
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "output/syscall.h"
#include "output/text.h"

/* --- text */

const char *kib(uint64_t bytes, char buf[32])
{
	if (bytes % 1024)
		snprintf(buf, 32, "%.1f", (double)bytes / 1024);
	else
		snprintf(buf, 32, "%" PRIu64, bytes / 1024);
	return buf;
}

void put_size(FILE *f, uint64_t bytes)
{
	if (bytes && bytes % (1 << 20) == 0)
		fprintf(f, "%" PRIu64 "M", bytes >> 20);
	else if (bytes && bytes % 1024 == 0)
		fprintf(f, "%" PRIu64 "K", bytes >> 10);
	else
		fprintf(f, "%" PRIu64, bytes);
}

void put_name(FILE *f, const char *name)
{
	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;

		if (c < ' ' || c == 0x7f)
			fprintf(f, "\\%03o", c);
		else if (c == 0xc2 && (name[1] & 0xe0) == 0x80)
			/* U+0080 to U+009F: terminals obey some of them */
			fprintf(f, "\\%03o\\%03o", c, *++name & 0xff);
		else
			fputc(c, f);
	}
}

void put_time(const struct output *o, FILE *f, uint64_t ts)
{
	if (ts < o->start)
		fputs("before", f);
	else
		fprintf(f, "%" PRIu64 ".%06" PRIu64,
			(ts - o->start) / 1000000000,
			(ts - o->start) % 1000000000 / 1000);
}

const char *perms(const struct vma_desc *d, char buf[5])
{
	buf[0] = d->flags & VMA_READ ? 'r' : '-';
	buf[1] = d->flags & VMA_WRITE ? 'w' : '-';
	buf[2] = d->flags & VMA_EXEC ? 'x' : '-';
	buf[3] = d->flags & VMA_SHARED ? 's' : 'p';
	buf[4] = 0;
	return buf;
}

const char *vma_name(const struct output *o, const struct space *s,
		     const struct vma *v)
{
	if (vma_is_ours(&v->d))
		return "[vmaheap]";
	return model_vma_name(o->model, s, v);
}

void put_call(FILE *f, enum call_op op, uint64_t addr, uint64_t size)
{
	if (op == CALL_FREE && addr)
		fprintf(f, "%s(%#" PRIx64 ")", call_op_name(op), addr);
	else if (op == CALL_FREE)
		fprintf(f, "%s(NULL)", call_op_name(op));
	else
		fprintf(f, "%s(%" PRIu64 ")", call_op_name(op), size);
}

void put_caller(const struct output *o, const struct space *s, FILE *f,
		uint64_t caller)
{
	char buf[512];

	caller = model_caller(o->model, caller);
	if (caller)
		put_name(f, symbols_name(o->symbols, o->model, s, caller - 1, 1,
					 buf, sizeof(buf)));
	else
		fputs("?", f);
}

void put_code(const struct output *o, const struct space *s, FILE *f,
	      uint64_t ip)
{
	char buf[512];

	if (ip)
		put_name(f, symbols_name(o->symbols, o->model, s, ip, 0, buf,
					 sizeof(buf)));
	else
		fputs("?", f);
}

/* What was inlined stands before the function that holds it. */
static void put_frame(const struct output *o, const struct space *s, FILE *f,
		      uint64_t frame)
{
	struct symbol sym = symbols_find(o->symbols, o->model, s, frame - 1);
	size_t i;

	for (i = 0; i < sym.nr_inlined; i++) {
		fprintf(f, "        %12" PRIx64 " ", frame);
		put_name(f, sym.inlined[i]);
		fputs(" (inlined)\n", f);
	}
	fprintf(f, "        %12" PRIx64 " ", frame);
	put_caller(o, s, f, frame);
	fputc('\n', f);
}

void put_stack(const struct output *o, const struct space *s, FILE *f,
	       uint64_t caller)
{
	const struct stack *st = model_stack(o->model, caller);
	uint32_t i;

	if (!(caller & CALLER_STACK))
		return;
	for (i = 0; st && i < st->nr; i++)
		put_frame(o, s, f, st->frames[i]);
	if (!st || st->truncated)
		fputs("        ? (who called is not known)\n", f);
}

static void put_doer(const struct output *o, const struct space *s, FILE *f,
		     const struct cause *c)
{
	if (c->op != CALL_NONE) {
		fputs(" in ", f);
		put_call(f, c->op, c->call_addr, c->call_size);
		fputs(" from ", f);
		put_caller(o, s, f, c->caller);
	} else if (c->ip) {
		fputs(" at ", f);
		put_code(o, s, f, c->ip);
	}
}

/* Why a VMA is as it is, where no system call and no allocator call did it. */
const char *cause_name(enum cause_kind kind)
{
	switch (kind) {
	case CAUSE_ATTACH:
		return "before the watch";
	case CAUSE_SYSCALL:
		return "syscall";
	case CAUSE_FAULT:
		return "stack growth";
	case CAUSE_EXEC:
		return "exec";
	case CAUSE_FORK:
		return "fork";
	case CAUSE_LATE:
		return "not known (sent late)";
	case CAUSE_SAMPLED:
		return "not known (seen in a sample)";
	case CAUSE_OTHER:
		return "another process, or the kernel";
	}
	return "?";
}

void put_cause(const struct output *o, const struct space *s, FILE *f,
	       const struct cause *c)
{
	char buf[32];

	if (c->kind != CAUSE_SYSCALL) {
		fputs(cause_name(c->kind), f);
		return;
	}
	fputs(syscall_name(c->syscall, c->compat, buf), f);
	put_doer(o, s, f, c);
}

const char *vma_change_name(enum vma_change_kind kind)
{
	switch (kind) {
	case VMA_CREATED:
		return "new";
	case VMA_REMOVED:
		return "gone";
	case VMA_GREW:
		return "grew";
	case VMA_SHRANK:
		return "shrank";
	case VMA_SPLIT:
		return "split";
	case VMA_MERGED:
		return "merged";
	case VMA_PROTECTED:
		return "protected";
	case VMA_MOVED:
		return "moved";
	}
	return "?";
}

void put_beginning(FILE *f, const struct output_beginning *b)
{
	char live[32];

	fprintf(f,
		"%" PRIu64 " address space%s, %" PRIu64 " VMAs, %" PRIu64
		" chunks of %s KiB",
		b->spaces, plural(b->spaces), b->vmas, b->chunks,
		kib(b->bytes, live));
}

char *caller_text(const struct output *o, const struct space *s,
		  uint64_t caller)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	put_caller(o, s, f, caller);
	return fclose(f) ? NULL : text;
}

char *cause_text(const struct output *o, const struct space *s,
		 const struct cause *c)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	put_cause(o, s, f, c);
	return fclose(f) ? NULL : text;
}

void put_allocator(FILE *f, const char *kind, const char *file, bool is_static)
{
	if (!*file && *kind) {
		fprintf(f,
			"%s, by its books in memory (statically linked, and no malloc among its symbols)",
			kind);
		return;
	}
	if (!*file) {
		fputs(is_static ?
			      "opaque (statically linked, and no malloc among its symbols)" :
			      "opaque (nobody in it defines malloc)",
		      f);
		return;
	}
	fprintf(f, "%s, ", *kind ? kind : "one of its own");
	put_name(f, file);
	if (is_static)
		fputs(", statically linked", f);
}

void put_process(FILE *f, const struct space *s)
{
	fprintf(f, "process %u (", s->owner);
	put_name(f, s->comm);
	fputc(')', f);
}

void *sorted_copy(const void *array, size_t nr, size_t size,
		  int (*cmp)(const void *, const void *))
{
	char *copy = nr ? malloc(nr * size) : NULL;
	size_t i;

	for (i = 0; copy && i < nr * size; i++)
		copy[i] = ((const char *)array)[i];
	if (copy)
		qsort(copy, nr, size, cmp);
	return copy;
}

const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

int output_status(FILE *f)
{
	errno = 0;
	if (fflush(f) || ferror(f))
		return errno ? -errno : -EIO;
	return 0;
}

/* --- JSON */

json_t *json_addr(uint64_t addr)
{
	return json_sprintf("0x%llx", (unsigned long long)addr);
}

json_t *json_u64(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

json_t *json_name(const char *s)
{
	json_t *j = json_string(s);
	char *copy, *p;

	if (j)
		return j;
	copy = strdup(s); /* a file name is bytes, JSON is UTF-8 */
	if (!copy)
		return NULL;
	for (p = copy; *p; p++)
		if (!isascii((unsigned char)*p))
			*p = '?';
	j = json_string(copy);
	free(copy);
	return j;
}

json_t *json_allocator(const struct space *s)
{
	if (!s->allocator.known)
		return json_null();
	return json_pack("{s:s, s:o, s:b}", "name", s->allocator.kind, "file",
			 s->allocator.file[0] ? json_name(s->allocator.file) :
						json_null(),
			 "static", (int)s->allocator.is_static);
}

static void put_walked(const struct output *o, const struct space *s, FILE *f)
{
	fputs("Chunks are those that malloc's own books had in use at ", f);
	put_time(o, f, s->found.at);
	fputs(" s (sampled, --alloc=walk); who allocated them is not known.\n",
	      f);
}

void put_found(const struct output *o, const struct space *s, FILE *f)
{
	const char *since = "live is what has been allocated since";

	if (s->found.failed)
		fprintf(f, "The heap could not be read%s%s.\n",
			s->found.at ? " since" : "; ",
			s->found.at ? "" :
			s->found.walked ?
				      "which chunks are alive is not known" :
				      since);
	if (s->found.at && s->found.walked)
		put_walked(o, s, f);
	if (!s->found.at || s->found.walked)
		return;
	fprintf(f,
		"Found as the %s: %" PRIu64 " chunk%s, %" PRIu64
		" bytes that %s; who allocated them is not known.\n",
		s->cause == MM_EXEC ? "shim came" : "watch began",
		s->found.chunks, plural(s->found.chunks), s->found.bytes,
		strcmp(s->allocator.kind, "musl") ? "can be used" :
						    "were asked for");
	if (s->found.undecided)
		fprintf(f,
			"%" PRIu64
			" more may have been in use then: not known, left out.\n",
			s->found.undecided);
}

json_t *json_found(const struct space *s)
{
	bool walked = s->found.walked;

	if (!s->found.looks)
		return json_null();
	return json_pack(
		"{s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o}", "at",
		s->found.at ? json_u64(s->found.at) : json_null(), "walked",
		walked, "failed", (int)s->found.failed, "looks",
		json_u64(s->found.looks), "chunks",
		walked ? json_null() : json_u64(s->found.chunks), "bytes",
		walked ? json_null() : json_u64(s->found.bytes), "undecided",
		walked ? json_null() : json_u64(s->found.undecided), "wrong",
		walked ? json_null() : json_u64(s->found.wrong));
}

json_t *json_caller(const struct output *o, const struct space *s,
		    uint64_t caller)
{
	char buf[512];

	caller = model_caller(o->model, caller);
	if (!caller)
		return json_null();
	return json_pack("{s:o, s:o}", "addr", json_addr(caller), "symbol",
			 json_name(symbols_name(o->symbols, o->model, s,
						caller - 1, 1, buf,
						sizeof(buf))));
}

json_t *json_code(const struct output *o, const struct space *s, uint64_t ip)
{
	char buf[512];

	if (!ip)
		return json_null();
	return json_pack("{s:o, s:o}", "addr", json_addr(ip), "symbol",
			 json_name(symbols_name(o->symbols, o->model, s, ip, 0,
						buf, sizeof(buf))));
}

static json_t *json_frame(const struct output *o, const struct space *s,
			  uint64_t frame)
{
	struct symbol sym = symbols_find(o->symbols, o->model, s, frame - 1);
	json_t *j = json_caller(o, s, frame), *names = json_array();
	size_t i;

	for (i = 0; i < sym.nr_inlined; i++)
		json_array_append_new(names, json_name(sym.inlined[i]));
	json_object_set_new(j, "inlined", names);
	return j;
}

json_t *json_stack(const struct output *o, const struct space *s,
		   uint64_t caller)
{
	const struct stack *st = model_stack(o->model, caller);
	json_t *frames;
	uint32_t i;

	if (!st)
		return json_null();
	frames = json_array();
	for (i = 0; i < st->nr; i++)
		json_array_append_new(frames, json_frame(o, s, st->frames[i]));
	return json_pack("{s:o, s:b, s:o}", "id", json_addr(st->id),
			 "truncated", st->truncated, "frames", frames);
}

static json_t *json_call(const struct output *o, const struct space *s,
			 const struct cause *c)
{
	json_t *j;

	if (c->op == CALL_NONE)
		return json_null();
	j = json_pack("{s:s, s:o}", "op", call_op_name(c->op), "caller",
		      json_caller(o, s, c->caller));
	if (j && c->op == CALL_FREE)
		json_object_set_new(j, "addr", json_addr(c->call_addr));
	else if (j)
		json_object_set_new(j, "size", json_u64(c->call_size));
	return j;
}

static const char *cause_token(enum cause_kind kind)
{
	switch (kind) {
	case CAUSE_ATTACH:
		return "attach";
	case CAUSE_SYSCALL:
		return "syscall";
	case CAUSE_FAULT:
		return "fault";
	case CAUSE_EXEC:
		return "exec";
	case CAUSE_FORK:
		return "fork";
	case CAUSE_LATE:
		return "late";
	case CAUSE_SAMPLED:
		return "sampled";
	case CAUSE_OTHER:
		return "other";
	}
	return "unknown";
}

static json_t *json_syscall(const struct cause *c)
{
	json_t *args;
	char buf[32];
	int i;

	if (c->kind != CAUSE_SYSCALL)
		return json_null();
	args = json_array();
	for (i = 0; i < 6; i++)
		json_array_append_new(args, json_addr(c->args[i]));
	return json_pack("{s:s, s:o}", "name",
			 syscall_name(c->syscall, c->compat, buf), "args",
			 args);
}

json_t *json_cause(const struct output *o, const struct space *s,
		   const struct cause *c)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:o, s:o}", "kind",
			 cause_token(c->kind), "ts", (json_int_t)c->ts, "tgid",
			 (json_int_t)c->tgid, "tid", (json_int_t)c->tid,
			 "syscall", json_syscall(c), "call",
			 json_call(o, s, c));
}

int json_print(const struct output *o, json_t *root, bool line)
{
	int err;

	if (!root)
		return -ENOMEM;
	errno = 0;
	err = json_dumpf(root, o->f, line ? JSON_COMPACT : JSON_INDENT(1));
	if (err)
		err = errno ? -errno : -EIO;
	fputc('\n', o->f);
	json_decref(root);
	return err;
}
