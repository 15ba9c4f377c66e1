// SPDX-License-Identifier: GPL-2.0
/*
 * One applied event as one line, in strace's spirit:
 *
 *    0.001234567    12/12    brk(0x55d0c7a3f000): heap +132K [55d0c7a1e000-55d0c7a3f000)
 *    0.001240000    12/12    malloc(24) = 0x55d0c7a1e2a0 <main+0x12 (a.out)>, 1 VMA event
 *    0.002000000    12/13    realloc(0x55d0c7a1e2a0 <unfinished ...>
 *    0.002000000    12/13    <... realloc resumed>, 100) = 0x55d0c7a1e2a0 <...>
 *
 * The module tells of a system call before it returns, so its result is what
 * follows the colon. An allocator call's time is the stamp that its thread saw.
 *
 * --json: one object a line. All have ts, tgid, tid, mm (null: none known), kind
 * and, by kind:
 *   mm        cause (attach, fork, exec), owner, parent, comm
 *   range     cause (see text.h), snapshot, late, coalesced, map_count, changes:
 *             [ what, start, end, heap, name, perms, old_perms, from ]
 *   file      dev, ino, path
 *   mm_exit   peak (null: not known), rss { file, anon, shmem, swap }
 *   task      owner, parent
 *   task_exit status
 *   madvise   addr, len, advice
 *   failed    syscall, args, error (name), reason (null: not known), map_count
 *   fault     addr, access (read, write, execute), present (there was a page), first
 *             (touch of the page), syscall (null: the program itself), by { addr,
 *             symbol }, chunk (null: none lives there) { addr, size, op, caller }
 *   lost      what, count
 *   call      op, phase (alloc, free, realloc_enter, realloc_return, leave), addr,
 *             size, align, caller, stack, known, vma_events
 *   calls_lost count
 *   resident  vmas, resident, swapped, live
 *   verify    vmas, mismatches
 *   allocator name ("": none of those known by name), file (null: nobody defines
 *             malloc; with a name: its books in memory tell), static, settings (of glibc's malloc in its environment, null:
 *             not known)
 *   look      malloc's own books are about to be read, while the process stands still
 *   found     what they said: chunks, bytes, in_doubt, unread (they could not be read)
 *   walked    the same by --alloc=walk: since the walk before, with gone
 *   begin     of a trace whose front was not kept, the first line: spaces, vmas,
 *             chunks, live_size that were alive then (tgid, tid 0)
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>

#include "output/syscall.h"
#include "output/text.h"
#include "output/touch.h"

#define LINE_CHANGES 8 /* that a line names; an exec removes hundreds */

static size_t stored_changes(const struct outcome *out)
{
	return out->nr_changes < OUTCOME_CHANGES ? out->nr_changes :
						   OUTCOME_CHANGES;
}

static const char *flag_perms(uint32_t flags, char buf[5])
{
	struct vma_desc d = { .flags = flags };

	return perms(&d, buf);
}

/* Of the VMA that lies there now; "" when none does. */
static const char *name_at(const struct output *o, const struct space *s,
			   uint64_t addr)
{
	const struct vma *v = s ? vma_map_find(s->vmas, addr) : NULL;

	return v ? vma_name(o, s, v) : "";
}

static const char *lost_name(uint32_t what)
{
	static const char *const names[] = {
		"?",
		"forked processes, which are not watched",
		"exec'ed images, which are not watched",
		"madvise calls",
		"file names",
		"system calls that failed",
		"page faults",
	};

	return names[what < sizeof(names) / sizeof(names[0]) ? what : 0];
}

/* --- text: system calls */

static void put_change(const struct output *o, const struct space *s,
		       const struct vma_change *c)
{
	char old[5], now[5];

	if (c->heap)
		fputs("heap ", o->f);
	switch (c->kind) {
	case VMA_GREW:
	case VMA_SHRANK:
		fputc(c->kind == VMA_GREW ? '+' : '-', o->f);
		break;
	case VMA_CREATED:
		fprintf(o->f, "new %s ", flag_perms(c->new_flags, now));
		break;
	case VMA_PROTECTED:
		fprintf(o->f, "%s -> %s ", flag_perms(c->old_flags, old),
			flag_perms(c->new_flags, now));
		break;
	default:
		fprintf(o->f, "%s ", vma_change_name(c->kind));
		break;
	}
	put_size(o->f, c->end - c->start);
	fprintf(o->f, " [%" PRIx64 "-%" PRIx64 ")", c->start, c->end);
	if (c->kind == VMA_MOVED)
		fprintf(o->f, " from %" PRIx64, c->from);
	if (c->kind == VMA_CREATED && !c->heap) {
		const char *name = name_at(o, s, c->start);

		fputs(*name ? " " : "", o->f);
		put_name(o->f, name);
	}
}

static void put_changes(const struct output *o, const struct outcome *out)
{
	size_t i, n = stored_changes(out);

	if (n > LINE_CHANGES)
		n = LINE_CHANGES;
	for (i = 0; i < n; i++) {
		fputs(i ? ", " : ": ", o->f);
		put_change(o, out->space, &out->changes[i]);
	}
	if (out->nr_changes > n)
		fprintf(o->f, ", and %zu more", out->nr_changes - n);
	if (!out->nr_changes)
		fputs(": no VMA changed", o->f);
}

static void put_range_head(const struct output *o, const struct outcome *out)
{
	const struct event *ev = out->ev;

	if (ev->range.flags & RANGE_SNAPSHOT) {
		fprintf(o->f, "%s of %u VMAs [%" PRIx64 "-%" PRIx64 ")",
			out->space && out->space->vmas_sampled ? "sample" :
								 "snapshot",
			ev->range.nr_vmas, ev->range.lo, ev->range.hi);
	} else if (out->cause && out->cause->kind == CAUSE_SYSCALL) {
		put_syscall(o->f, ev->range.syscall,
			    ev->range.flags & RANGE_COMPAT, ev->range.args);
	} else if (out->cause) {
		put_cause(o, out->space, o->f, out->cause);
	} else {
		fputs("?", o->f);
	}
}

static void text_range(const struct output *o, const struct outcome *out)
{
	const struct event *ev = out->ev;

	put_range_head(o, out);
	put_changes(o, out);
	if (ev->range.coalesced)
		fprintf(o->f, ", %u earlier change%s merged in",
			ev->range.coalesced, plural(ev->range.coalesced));
	if (ev->range.flags & RANGE_LATE)
		fputs(", late", o->f);
	if (out->checksum_failed)
		fprintf(o->f, ", the kernel counts %u VMAs, not %zu",
			ev->range.map_count,
			out->space ? vma_map_count(out->space->vmas) : 0);
}

/* --- text: allocator calls */

static void put_args(FILE *f, const struct event *ev)
{
	if (ev->call.align)
		fprintf(f, "%" PRIu64 ", ", ev->call.align);
	fprintf(f, "%" PRIu64, ev->call.size);
}

static void put_pointer(FILE *f, uint64_t addr)
{
	if (addr)
		fprintf(f, "%#" PRIx64, addr);
	else
		fputs("NULL", f);
}

static void put_from(const struct output *o, const struct outcome *out)
{
	fputs(" <", o->f);
	put_caller(o, out->space, o->f, out->ev->call.caller);
	fputc('>', o->f);
}

static void text_alloc(const struct output *o, const struct outcome *out)
{
	const struct event *ev = out->ev;

	fprintf(o->f, "%s(", call_op_name(ev->call.op));
	put_args(o->f, ev);
	fputc(')', o->f);
	fputs(" = ", o->f);
	put_pointer(o->f, ev->call.addr);
	put_from(o, out);
	if (ev->call.addr && !out->known)
		fputs(", on a chunk that was not seen freed", o->f);
}

static void put_gone(const struct output *o, const struct outcome *out)
{
	if (out->known)
		fprintf(o->f, ", %" PRIu64 " bytes", out->chunk.size);
	else if (out->ev->call.addr)
		fputs(", not known to be live", o->f);
}

static void text_call(const struct output *o, const struct outcome *out)
{
	const struct event *ev = out->ev;
	const char *op = call_op_name(ev->call.op);

	switch (ev->call.phase) {
	case CALL_ALLOC:
		text_alloc(o, out);
		break;
	case CALL_FREED:
		put_call(o->f, ev->call.op, ev->call.addr, 0);
		put_from(o, out);
		put_gone(o, out);
		break;
	case CALL_REALLOC_ENTER:
		fprintf(o->f, "%s(", op);
		put_pointer(o->f, ev->call.addr);
		fputs(" <unfinished ...>", o->f);
		put_gone(o, out);
		break;
	case CALL_REALLOC_RETURN:
		fprintf(o->f, "<... %s resumed>, ", op);
		put_args(o->f, ev);
		fputc(')', o->f);
		fputs(" = ", o->f);
		put_pointer(o->f, ev->call.addr);
		put_from(o, out);
		break;
	case CALL_LEAVE:
		fprintf(o->f, "<... %s resumed>)", op);
		break;
	}
	if (out->vma_events)
		fprintf(o->f, ", %u VMA event%s", out->vma_events,
			plural(out->vma_events));
}

/* --- text: the others */

static void text_mm(const struct output *o, const struct event *ev)
{
	switch (ev->mm_start.cause) {
	case MM_FORK:
		fprintf(o->f, "fork: process %u, child of %u",
			ev->mm_start.owner, ev->mm_start.parent);
		break;
	case MM_EXEC:
		fprintf(o->f, "exec: process %u", ev->mm_start.owner);
		break;
	default:
		fprintf(o->f, "watch of process %u", ev->mm_start.owner);
		break;
	}
	fputs(" (", o->f);
	put_name(o->f, ev->mm_start.comm);
	fputc(')', o->f);
}

static void text_exit(const struct output *o, const struct event *ev)
{
	int status = ev->task_exit.status;
	const char *name =
		WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;

	if (name)
		fprintf(o->f, "+++ killed by SIG%s +++", name);
	else if (WIFSIGNALED(status))
		fprintf(o->f, "+++ killed by signal %d +++", WTERMSIG(status));
	else
		fprintf(o->f, "+++ exited with %d +++", WEXITSTATUS(status));
}

struct sample {
	uint64_t resident, swapped, live;
};

static struct sample add_samples(const struct event *ev)
{
	struct sample sum = { 0 };
	uint32_t i;

	for (i = 0; i < ev->resident.nr_vmas; i++) {
		sum.resident += ev->resident.vmas[i].resident;
		sum.swapped += ev->resident.vmas[i].swapped;
		sum.live += ev->resident.vmas[i].live_resident;
	}
	return sum;
}

static void text_resident(const struct output *o, const struct event *ev)
{
	struct sample sum = add_samples(ev);

	fprintf(o->f, "sample of %u VMAs: resident ", ev->resident.nr_vmas);
	put_size(o->f, sum.resident);
	fputs(", under live chunks ", o->f);
	put_size(o->f, sum.live);
	fputs(", swapped ", o->f);
	put_size(o->f, sum.swapped);
}

static void text_madvise(const struct output *o, const struct event *ev)
{
	fprintf(o->f, "madvise(%#" PRIx64 ", %" PRIu64 ", ", ev->madvise.addr,
		ev->madvise.len);
	put_advice(o->f, ev->madvise.advice);
	fputc(')', o->f);
}

static void text_file(const struct output *o, const struct event *ev)
{
	fprintf(o->f, "file %02x:%02x %" PRIu64 " is ", ev->file.dev >> 20,
		ev->file.dev & 0xfffff, ev->file.ino);
	put_name(o->f, ev->file.path);
}

static void text_mm_exit(const struct output *o, const struct event *ev)
{
	fputs("the address space ends", o->f);
	if (!ev->mm_exit.hiwater_rss)
		return;
	fputs(", peak resident ", o->f);
	put_size(o->f, ev->mm_exit.hiwater_rss);
}

static void text_allocator(const struct output *o, const struct event *ev)
{
	fputs("allocator: ", o->f);
	put_allocator(o->f, ev->allocator.kind, ev->allocator.file,
		      ev->allocator.is_static);
}

struct found_sum {
	uint64_t chunks, bytes, others;
};

static struct found_sum found_sum(const struct event *ev)
{
	struct found_sum n = { 0 };
	uint32_t i;

	for (i = 0; i < ev->found.nr; i++) {
		if (ev->found.chunks[i].size & FOUND_NOT) {
			n.others++;
			continue;
		}
		n.chunks++;
		n.bytes += ev->found.chunks[i].size;
	}
	return n;
}

static void text_found(const struct output *o, const struct event *ev)
{
	struct found_sum n = found_sum(ev);

	if (ev->found.flags & FOUND_BEGIN) {
		fputs("look at its heap", o->f);
		return;
	}
	fprintf(o->f, ev->found.flags & FOUND_WALK ? "walked: " : "found: ");
	if (ev->found.flags & FOUND_UNREAD)
		fputs("the heap could not be read", o->f);
	else
		fprintf(o->f,
			"%" PRIu64 " %schunk%s in use, %" PRIu64
			" bytes; %" PRIu64 "%s",
			n.chunks, ev->found.flags & FOUND_WALK ? "more " : "",
			plural(n.chunks), n.bytes, n.others,
			ev->found.flags & FOUND_WALK ? " not any more" :
						       " in doubt");
}

static void text_body(const struct output *o, const struct outcome *out)
{
	const struct event *ev = out->ev;

	switch (ev->kind) {
	case EV_MM:
		text_mm(o, ev);
		break;
	case EV_RANGE:
		text_range(o, out);
		break;
	case EV_FILE:
		text_file(o, ev);
		break;
	case EV_MM_EXIT:
		text_mm_exit(o, ev);
		break;
	case EV_TASK:
		fprintf(o->f,
			"vfork: process %u, child of %u, in the same address space",
			ev->task.owner, ev->task.parent);
		break;
	case EV_TASK_EXIT:
		text_exit(o, ev);
		break;
	case EV_MADVISE:
		text_madvise(o, ev);
		break;
	case EV_FAILED:
		put_syscall(o->f, ev->failed.syscall, false, ev->failed.args);
		fputs(" failed: ", o->f);
		put_failure(o->f, ev->failed.error, ev->failed.reason);
		if (ev->failed.reason == FAILED_MAP_COUNT)
			fprintf(o->f, " (%u VMAs)", ev->failed.map_count);
		break;
	case EV_FAULT:
		put_fault(o, out);
		break;
	case EV_LOST:
		fprintf(o->f, "--- lost: %u %s ---", ev->lost.count,
			lost_name(ev->lost.what));
		break;
	case EV_CALL:
		text_call(o, out);
		break;
	case EV_STACK: /* no happenings */
	case EV_BUILD_ID:
		break;
	case EV_CALLS_LOST:
		fprintf(o->f,
			"--- lost: %" PRIu64
			" allocator event%s of this %s ---",
			ev->calls_lost.count, plural(ev->calls_lost.count),
			ev->tid ? "thread" : "process");
		break;
	case EV_RESIDENT:
		text_resident(o, ev);
		break;
	case EV_ALLOCATOR:
		text_allocator(o, ev);
		break;
	case EV_FOUND:
		text_found(o, ev);
		break;
	case EV_VERIFY:
		fprintf(o->f, "verify: %u VMAs compared, %u mismatches",
			ev->verify.vmas, ev->verify.mismatches);
		break;
	}
}

/* Before the watch began when negative: a clock of another source. */
static void put_stamp(const struct output *o, uint64_t ts)
{
	bool before = ts < o->start;
	uint64_t ns = before ? o->start - ts : ts - o->start;

	fprintf(o->f, "%s%5" PRIu64 ".%09" PRIu64, before ? "-" : " ",
		ns / 1000000000, ns % 1000000000);
}

static void event_text(const struct output *o, const struct outcome *out)
{
	char who[32];

	snprintf(who, sizeof(who), "%u/%u", out->ev->tgid, out->ev->tid);
	put_stamp(o, out->ev->ts);
	fprintf(o->f, " %13s  ", who);
	text_body(o, out);
	fputc('\n', o->f);
	if (out->ev->kind == EV_CALL &&
	    (out->ev->call.phase == CALL_ALLOC ||
	     out->ev->call.phase == CALL_REALLOC_RETURN))
		put_stack(o, out->space, o->f, out->ev->call.caller);
}

/* --- JSON */

static void set_addr(json_t *j, const char *key, uint64_t addr)
{
	json_object_set_new(j, key, json_addr(addr));
}

static void set(json_t *j, const char *key, uint64_t n)
{
	json_object_set_new(j, key, json_u64(n));
}

static void set_string(json_t *j, const char *key, const char *s)
{
	json_object_set_new(j, key, json_name(s));
}

static json_t *json_change(const struct output *o, const struct space *s,
			   const struct vma_change *c)
{
	json_t *j = json_object();
	char buf[5];

	set_string(j, "what", vma_change_name(c->kind));
	set_addr(j, "start", c->start);
	set_addr(j, "end", c->end);
	json_object_set_new(j, "heap", json_boolean(c->heap));
	set_string(j, "name", name_at(o, s, c->start));
	set_string(j, "perms", flag_perms(c->new_flags, buf));
	set_string(j, "old_perms", flag_perms(c->old_flags, buf));
	json_object_set_new(j, "from",
			    c->kind == VMA_MOVED ? json_addr(c->from) :
						   json_null());
	return j;
}

static void json_range(const struct output *o, const struct outcome *out,
		       json_t *j)
{
	const struct event *ev = out->ev;
	json_t *changes = json_array();
	size_t i;

	for (i = 0; i < stored_changes(out); i++)
		json_array_append_new(changes, json_change(o, out->space,
							   &out->changes[i]));
	set_string(j, "kind", "range");
	json_object_set_new(j, "cause",
			    out->cause ? json_cause(o, out->space, out->cause) :
					 json_null());
	json_object_set_new(j, "snapshot",
			    json_boolean(ev->range.flags & RANGE_SNAPSHOT));
	json_object_set_new(j, "late",
			    json_boolean(ev->range.flags & RANGE_LATE));
	set(j, "coalesced", ev->range.coalesced);
	set(j, "map_count", ev->range.map_count);
	json_object_set_new(j, "changes", changes);
}

static const char *phase_name(enum call_phase phase)
{
	static const char *const names[] = {
		[CALL_ALLOC] = "alloc",
		[CALL_FREED] = "free",
		[CALL_REALLOC_ENTER] = "realloc_enter",
		[CALL_REALLOC_RETURN] = "realloc_return",
		[CALL_LEAVE] = "leave",
	};

	return names[phase];
}

static void json_call(const struct output *o, const struct outcome *out,
		      json_t *j)
{
	const struct event *ev = out->ev;

	set_string(j, "kind", "call");
	set_string(j, "op", call_op_name(ev->call.op));
	set_string(j, "phase", phase_name(ev->call.phase));
	set_addr(j, "addr", ev->call.addr);
	set(j, "size", ev->call.size);
	set(j, "align", ev->call.align);
	json_object_set_new(j, "caller",
			    json_caller(o, out->space, ev->call.caller));
	json_object_set_new(j, "stack",
			    json_stack(o, out->space, ev->call.caller));
	json_object_set_new(j, "known", json_boolean(out->known));
	set(j, "vma_events", out->vma_events);
}

static void json_failed(const struct event *ev, json_t *j)
{
	const char *why = failed_reason_name(ev->failed.reason);
	const char *name = strerrorname_np(ev->failed.error);
	char buf[32];
	json_t *args = json_array();
	int i;

	set_string(j, "kind", "failed");
	set_string(j, "syscall", syscall_name(ev->failed.syscall, false, buf));
	for (i = 0; i < 6; i++)
		json_array_append_new(args, json_addr(ev->failed.args[i]));
	json_object_set_new(j, "args", args);
	json_object_set_new(j, "error",
			    name ? json_string(name) :
				   json_integer(ev->failed.error));
	json_object_set_new(j, "reason", why ? json_string(why) : json_null());
	set(j, "map_count", ev->failed.map_count);
}

static void json_mm(const struct event *ev, json_t *j)
{
	set_string(j, "kind", "mm");
	set_string(j, "cause",
		   ev->mm_start.cause == MM_FORK ? "fork" :
		   ev->mm_start.cause == MM_EXEC ? "exec" :
						   "attach");
	set(j, "owner", ev->mm_start.owner);
	set(j, "parent", ev->mm_start.parent);
	set_string(j, "comm", ev->mm_start.comm);
}

static void json_mm_exit(const struct event *ev, json_t *j)
{
	const struct rss *rss = &ev->mm_exit.rss;
	json_t *r = json_object();

	set_string(j, "kind", "mm_exit");
	json_object_set_new(j, "peak",
			    ev->mm_exit.hiwater_rss ?
				    json_u64(ev->mm_exit.hiwater_rss) :
				    json_null());
	set(r, "file", rss->file);
	set(r, "anon", rss->anon);
	set(r, "shmem", rss->shmem);
	set(r, "swap", rss->swap);
	json_object_set_new(j, "rss", r);
}

static void json_resident(const struct event *ev, json_t *j)
{
	struct sample sum = add_samples(ev);

	set_string(j, "kind", "resident");
	set(j, "vmas", ev->resident.nr_vmas);
	set(j, "resident", sum.resident);
	set(j, "swapped", sum.swapped);
	set(j, "live", sum.live);
}

static void json_small(const struct event *ev, json_t *j)
{
	switch (ev->kind) {
	case EV_FILE:
		set_string(j, "kind", "file");
		json_object_set_new(j, "dev",
				    json_sprintf("%02x:%02x",
						 ev->file.dev >> 20,
						 ev->file.dev & 0xfffff));
		set(j, "ino", ev->file.ino);
		set_string(j, "path", ev->file.path);
		break;
	case EV_TASK:
		set_string(j, "kind", "task");
		set(j, "owner", ev->task.owner);
		set(j, "parent", ev->task.parent);
		break;
	case EV_TASK_EXIT:
		set_string(j, "kind", "task_exit");
		json_object_set_new(j, "status",
				    json_integer(ev->task_exit.status));
		break;
	case EV_MADVISE:
		set_string(j, "kind", "madvise");
		set_addr(j, "addr", ev->madvise.addr);
		set(j, "len", ev->madvise.len);
		json_object_set_new(j, "advice",
				    json_integer(ev->madvise.advice));
		break;
	case EV_FAILED:
		json_failed(ev, j);
		break;
	case EV_LOST:
		set_string(j, "kind", "lost");
		set_string(j, "what", lost_name(ev->lost.what));
		set(j, "count", ev->lost.count);
		break;
	case EV_CALLS_LOST:
		set_string(j, "kind", "calls_lost");
		set(j, "count", ev->calls_lost.count);
		break;
	case EV_ALLOCATOR:
		set_string(j, "kind", "allocator");
		json_object_set_new(j, "settings",
				    ev->allocator.settings ?
					    json_name(ev->allocator.settings) :
					    json_null());
		set_string(j, "name", ev->allocator.kind);
		json_object_set_new(j, "file",
				    ev->allocator.file[0] ?
					    json_name(ev->allocator.file) :
					    json_null());
		json_object_set_new(j, "static",
				    json_boolean(ev->allocator.is_static));
		break;
	case EV_VERIFY:
		set_string(j, "kind", "verify");
		set(j, "vmas", ev->verify.vmas);
		set(j, "mismatches", ev->verify.mismatches);
		break;
	default:
		break;
	}
}

static void json_found_event(const struct event *ev, json_t *j)
{
	struct found_sum n = found_sum(ev);
	bool walk = ev->found.flags & FOUND_WALK;

	if (ev->found.flags & FOUND_BEGIN) {
		set_string(j, "kind", "look");
		return;
	}
	set_string(j, "kind", walk ? "walked" : "found");
	set(j, "chunks", n.chunks);
	set(j, "bytes", n.bytes);
	set(j, walk ? "gone" : "in_doubt", n.others);
	json_object_set_new(j, "unread",
			    json_boolean(ev->found.flags & FOUND_UNREAD));
}

static int event_json(const struct output *o, const struct outcome *out)
{
	const struct event *ev = out->ev;
	json_t *j = json_object();

	set(j, "ts", ev->ts);
	set(j, "tgid", ev->tgid);
	set(j, "tid", ev->tid);
	json_object_set_new(j, "mm",
			    out->space ? json_u64(out->space->mm) :
			    ev->mm     ? json_u64(ev->mm) :
					 json_null());
	switch (ev->kind) {
	case EV_MM:
		json_mm(ev, j);
		break;
	case EV_RANGE:
		json_range(o, out, j);
		break;
	case EV_MM_EXIT:
		json_mm_exit(ev, j);
		break;
	case EV_CALL:
		json_call(o, out, j);
		break;
	case EV_RESIDENT:
		json_resident(ev, j);
		break;
	case EV_FOUND:
		json_found_event(ev, j);
		break;
	case EV_FAULT:
		json_fault(o, out, j);
		break;
	default:
		json_small(ev, j);
		break;
	}
	return json_print(o, j, true);
}

int output_begin(const struct output *o)
{
	const struct output_beginning *b = &o->begins;
	json_t *j;

	if (!b->ts)
		return 0;
	if (!o->json) {
		put_stamp(o, b->ts);
		fputs("   what was before was not kept; alive: ", o->f);
		put_beginning(o->f, b);
		fputc('\n', o->f);
		return ferror(o->f) ? -EIO : 0;
	}
	j = json_pack("{s:o, s:i, s:i, s:n, s:s, s:o, s:o, s:o, s:o}", "ts",
		      json_u64(b->ts), "tgid", 0, "tid", 0, "mm", "kind",
		      "begin", "spaces", json_u64(b->spaces), "vmas",
		      json_u64(b->vmas), "chunks", json_u64(b->chunks),
		      "live_size", json_u64(b->bytes));
	return json_print(o, j, true);
}

int output_event(const struct output *o, const struct outcome *out)
{
	if (o->json)
		return event_json(o, out);
	errno = 0;
	event_text(o, out);
	if (!ferror(o->f))
		return 0;
	return errno ? -errno : -EIO;
}
