// SPDX-License-Identifier: GPL-2.0
/*
 * The strip stands upright, 0 at its foot. Its parts are VMAs and the gaps
 * between them:
 *
 *   kernel  +--------+   Heights are to scale, but what is small has a least
 *           |  gap   |   height, what is huge is cut (a zigzag says so), and
 *   stack   +--------+   gaps are folded. The width of a part stands for its
 *           |  gap   |   bytes, and it is filled from the left by what they are:
 *   libc    +--------+   live | held or otherwise resident | asked for, but
 *           ~        ~   without a page yet | committed | (reserved: hatched)
 *   heap    +--------+
 *   text    +--------+
 *         0 |  gap   |
 *
 * Beside it stand the addresses to the left, names and sizes to the right, one
 * line for what belongs together (the VMAs of a library).
 */
#include "output/strip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "output/asset.h"
#include "output/text.h"
#include "output/view.h"

#define USER_TOP 0x7ffffffff000ull /* 47 bits, but the last page */

#define MAX_PARTS 160 /* more VMAs than these are folded */
#define BODY 520.0 /* px of all VMAs together, at least */
#define LEAST 4.0
#define CUT (BODY / 4)
#define FOLDED 22.0 /* of a reserve */
#define WIDE_GAP (1ull << 30)

#define STRIP_X 150.0
#define STRIP_W 260.0
#define NAME_X 452.0
#define SIZE_X 740.0
#define RES_X 830.0
#define LIVE_X 920.0
#define WIDTH 930.0
#define LINE 15.0 /* of text */

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

/* --- parts */

static bool is_none(const struct vma_desc *d)
{
	return !(d->flags & (VMA_READ | VMA_WRITE | VMA_EXEC));
}

static void add_vma(struct part *p, const struct space *s, size_t i)
{
	struct view w = view_of(s, i);
	uint64_t size = w.v->d.end - w.v->d.start;

	if (!p->nr++ || size > p->w.v->d.end - p->w.v->d.start)
		p->w = w;
	p->end = w.v->d.end;
	p->size += size;
	p->is_none = p->is_none && is_none(&w.v->d);
	p->has_live = p->has_live || w.live_known;
	p->live += w.live.bytes;
	if (!w.res) {
		p->sampled = false;
		return;
	}
	p->resident += w.res->resident;
	p->live_resident += w.res->live_resident < w.res->resident ?
				    w.res->live_resident :
				    w.res->resident;
}

static void add_gap(struct strip *st, uint64_t start, uint64_t end)
{
	if (start < end)
		st->parts[st->nr++] = (struct part){ .what = PART_GAP,
						     .start = start,
						     .end = end,
						     .size = end - start };
}

/* What stands in rows of many: VMAs of one such kind are folded with each other first. */
static enum view_kind fold_kind(const struct space *s, size_t i)
{
	enum view_kind kind = view_kind_at(s, i);

	return kind == VIEW_GUARD   ? VIEW_THREAD_STACK :
	       kind == VIEW_RESERVE ? VIEW_ARENA :
				      kind;
}

/* The end of the row of VMAs of one kind that begins with the i-th. */
static size_t end_of_row(const struct space *s, size_t i)
{
	enum view_kind kind = fold_kind(s, i);
	size_t nr = vma_map_count(s->vmas);

	while (++i < nr && fold_kind(s, i) == kind)
		;
	return i;
}

/* How many parts there are when no row has more than `most`. */
static size_t parts_of_rows(const struct space *s, size_t most)
{
	size_t nr = vma_map_count(s->vmas), n = 0, i, end;

	for (i = 0; i < nr; i = end) {
		end = end_of_row(s, i);
		n += end - i < most ? end - i : most;
	}
	return n;
}

static void add_part(struct strip *st, size_t first, size_t end, uint64_t at)
{
	uint64_t start = vma_map_at(st->s->vmas, first)->d.start;
	struct part *p;

	add_gap(st, at, start);
	p = &st->parts[st->nr++];
	*p = (struct part){ .what = PART_VMAS,
			    .start = start,
			    .first = first,
			    .sampled = true,
			    .is_none = true };
	for (; first < end; first++)
		add_vma(p, st->s, first);
}

/* In parts of n VMAs each. Returns where they end. */
static uint64_t add_row(struct strip *st, size_t first, size_t end, size_t n,
			uint64_t at)
{
	for (; first < end; first += n) {
		add_part(st, first, end - first < n ? end : first + n, at);
		at = st->parts[st->nr - 1].end;
	}
	return at;
}

/*
 * Too many are folded in the longest rows of one kind; when there are too many
 * rows, regardless of these.
 */
static int add_parts(struct strip *st)
{
	size_t nr = vma_map_count(st->s->vmas), most = MAX_PARTS, i, end;
	uint64_t at = 0;

	st->parts = calloc(2 * nr + 2, sizeof(*st->parts));
	if (!st->parts)
		return -1;
	while (most > 1 && parts_of_rows(st->s, most) > MAX_PARTS)
		most = most * 3 / 4;
	if (most == 1 && parts_of_rows(st->s, 1) > MAX_PARTS)
		at = add_row(st, 0, nr, (nr + MAX_PARTS - 1) / MAX_PARTS, 0);
	else
		for (i = 0; i < nr; i = end) {
			end = end_of_row(st->s, i);
			at = add_row(st, i, end, (end - i + most - 1) / most,
				     at);
		}
	add_gap(st, at, USER_TOP);
	st->parts[st->nr++] = (struct part){ .what = PART_KERNEL,
					     .start = 0xffff800000000000ull,
					     .end = UINT64_MAX };
	return 0;
}

/* The program is the file that is mapped below the heap. */
static void find_program(struct strip *st)
{
	for (size_t i = 0; i < vma_map_count(st->s->vmas); i++) {
		const struct vma_desc *d = &vma_map_at(st->s->vmas, i)->d;

		if (d->start >= st->s->start_brk)
			break;
		if (d->flags & VMA_FILE && !(d->flags & VMA_SHARED)) {
			st->exe_dev = d->dev;
			st->exe_ino = d->ino;
		}
	}
}

static bool is_program(const struct strip *st, const struct part *p)
{
	const struct vma_desc *d = &p->w.v->d;

	return st->exe_ino && d->flags & VMA_FILE && d->ino == st->exe_ino &&
	       d->dev == st->exe_dev;
}

/* --- heights */

static double scaled(const struct part *p, double scale)
{
	double h = (double)p->size / scale;

	return h < LEAST ? LEAST : h > CUT ? CUT : h;
}

static bool is_scaled(const struct part *p)
{
	return p->what == PART_VMAS && !p->is_none && p->w.kind != VIEW_OURS;
}

static double height_at(const struct strip *st, double scale)
{
	double h = 0;

	for (size_t i = 0; i < st->nr; i++)
		if (is_scaled(&st->parts[i]))
			h += scaled(&st->parts[i], scale);
	return h;
}

/* More than what least heights take. */
static double body(const struct strip *st)
{
	double least = 0;

	for (size_t i = 0; i < st->nr; i++)
		least += is_scaled(&st->parts[i]) ? LEAST : 0;
	return least * 1.5 > BODY ? least * 1.5 : BODY;
}

/* The larger the scale, the lower they all are: halve until it fits. */
static void find_scale(struct strip *st)
{
	double lo = 16, hi = 1ull << 47, room = body(st);

	for (int i = 0; i < 60; i++) {
		double mid = lo + (hi - lo) / 2;

		if (height_at(st, mid) > room)
			lo = mid;
		else
			hi = mid;
	}
	st->scale = hi;
}

static double height_of(const struct strip *st, const struct part *p)
{
	if (p->what == PART_KERNEL)
		return 36;
	if (p->what == PART_GAP)
		return p->size >= WIDE_GAP ? 44 : 7;
	if (!is_scaled(p))
		return p->size > 1 << 20 ? FOLDED : LEAST;
	return scaled(p, st->scale);
}

static void lay_out(struct strip *st)
{
	double y = st->top;

	find_scale(st);
	for (size_t i = st->nr; i-- > 0;) {
		struct part *p = &st->parts[i];

		p->y = y;
		p->h = height_of(st, p);
		p->cut = p->what == PART_VMAS && (double)p->size > st->scale &&
			 p->h * st->scale < (double)p->size * 0.99;
		y += p->h;
	}
	st->foot = y;
}

/* --- labels */

static bool same_file(const struct part *a, const struct part *b)
{
	const struct vma_desc *c = &a->w.v->d, *d = &b->w.v->d;

	return c->flags & d->flags & VMA_FILE && c->ino == d->ino &&
	       c->dev == d->dev;
}

static bool is_stack_of_thread(const struct part *p)
{
	return p->w.kind == VIEW_THREAD_STACK || p->w.kind == VIEW_GUARD;
}

/* Is b, the next part above a, told of in the same line? */
static bool belong(const struct strip *st, const struct part *a,
		   const struct part *b)
{
	if (is_program(st, a) || is_program(st, b))
		return is_program(st, a) && is_program(st, b) &&
		       a->w.v->d.flags == b->w.v->d.flags;
	if (same_file(a, b) || (is_stack_of_thread(a) && is_stack_of_thread(b)))
		return true;
	if (b->w.kind == VIEW_BSS)
		return a->w.kind == VIEW_FILE;
	if (b->w.kind == VIEW_RESERVE)
		return a->w.kind == VIEW_ARENA;
	return a->w.kind == b->w.kind && a->w.kind != VIEW_FILE &&
	       a->w.kind != VIEW_ARENA;
}

/* The part above i that is no small gap; st->nr: there is none. */
static size_t above(const struct strip *st, size_t i)
{
	for (i++; i < st->nr; i++)
		if (st->parts[i].what != PART_GAP ||
		    st->parts[i].size >= WIDE_GAP)
			break;
	return i;
}

static size_t last_of_label(const struct strip *st, size_t i)
{
	size_t next;

	while ((next = above(st, i)) < st->nr &&
	       st->parts[next].what == PART_VMAS &&
	       belong(st, &st->parts[i], &st->parts[next]))
		i = next;
	return i;
}

static int add_labels(struct strip *st)
{
	size_t i, last;

	st->labels = calloc(st->nr, sizeof(*st->labels));
	if (!st->labels)
		return -1;
	for (i = 0; i < st->nr; i++) {
		struct label *l = &st->labels[st->nr_labels];

		if (st->parts[i].what != PART_VMAS)
			continue;
		last = last_of_label(st, i);
		l->first = i;
		l->nr = last - i + 1;
		l->at = (st->parts[last].y + st->parts[i].y + st->parts[i].h) /
			2;
		l->y = l->at;
		st->nr_labels++;
		i = last;
	}
	return 0;
}

/*
 * None above the last one, none in another's line. Going down, each is pushed below the one
 * above it; what is pushed below the foot then pushes the others up.
 */
static void spread_labels(struct strip *st)
{
	double room = (double)st->nr_labels * LINE, y = st->top;
	struct label *l = st->labels;
	size_t i;

	if (st->foot - st->top < room)
		st->foot = st->top + room;
	for (i = st->nr_labels; i-- > 0; y = l[i].y + LINE / 2)
		if (l[i].y < y + LINE / 2)
			l[i].y = y + LINE / 2;
	y = st->foot;
	for (i = 0; i < st->nr_labels && l[i].y > y - LINE / 2; i++) {
		l[i].y = y - LINE / 2;
		y = l[i].y - LINE / 2;
	}
}

struct strip *strip_new(const struct output *o, const struct space *s)
{
	struct strip *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	st->o = o;
	st->s = s;
	st->top = 26;
	find_program(st);
	if (!add_parts(st)) {
		lay_out(st);
		if (!add_labels(st)) {
			spread_labels(st);
			return st;
		}
	}
	strip_free(st);
	return NULL;
}

void strip_free(struct strip *st)
{
	if (!st)
		return;
	free(st->parts);
	free(st->labels);
	free(st);
}

/* --- text */

/* Three digits and a unit. */
static const char *human(uint64_t bytes, char buf[32])
{
	static const char *const units[] = { "B",   "KiB", "MiB",
					     "GiB", "TiB", "PiB" };
	double n = (double)bytes;
	int i = 0;

	while (n >= 1000 && i < 5) {
		n /= 1024;
		i++;
	}
	snprintf(buf, 32, i && n < 9.95 ? "%.1f %s" : "%.0f %s", n, units[i]);
	return buf;
}

/* Of a character that must not stand in XML: how many bytes it is, else 0. */
static size_t forbidden(const char *p)
{
	return !strncmp(p, "\xef\xbf\xbe", 3) ||
			       !strncmp(p, "\xef\xbf\xbf", 3) ?
		       3 :
		       0;
}

/* A name from outside, at most `max` characters of it (0: all). */
static void put_xml(FILE *f, const char *name, size_t max)
{
	json_t *valid = json_string(name); /* NULL: it is no UTF-8 */
	size_t n = 0;
	const char *p;

	for (p = name; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if ((c & 0xc0) != 0x80 && max && n++ == max) {
			fputs("\xe2\x80\xa6", f);
			break;
		}
		if (c < ' ' || c == 0x7f)
			fprintf(f, "\\%03o", c);
		else if (strchr("<>&\"'", c))
			fprintf(f, "&#%u;", c);
		else if (c >= 0x80 && (!valid || forbidden(p)))
			fputc('?', f);
		else
			fputc(c, f);
		p += c >= 0x80 && valid && forbidden(p) ? 2 : 0;
	}
	json_decref(valid);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static const char *segment(const struct vma_desc *d)
{
	return d->flags & VMA_EXEC  ? "text" :
	       d->flags & VMA_WRITE ? "data" :
				      "constants";
}

static const char *kind_text(const struct part *p)
{
	switch (p->w.kind) {
	case VIEW_MAPPED:
		return "mapped chunk";
	case VIEW_RESERVE:
		return "reserved";
	case VIEW_KERNEL:
		return "vdso, vvar";
	case VIEW_OURS:
		return "vmaheap's own";
	case VIEW_ANON:
		return "anonymous";
	default:
		return view_kind_name(p->w.kind);
	}
}

/* What its parts, which are VMAs, are together. */
static void put_label_name(const struct strip *st, const struct label *l)
{
	const struct part *p = &st->parts[l->first],
			  *last = &st->parts[l->first + l->nr - 1];
	const char *name = base_name(vma_name(st->o, st->s, p->w.v));
	FILE *f = st->o->f;
	size_t nr = 0, i;

	for (i = l->first; i < l->first + l->nr; i++)
		nr += st->parts[i].nr;
	if (is_program(st, p)) {
		fprintf(f, "%s, ", segment(&p->w.v->d));
		put_xml(f, name, 22);
	} else if (p->w.kind == VIEW_FILE || p->w.kind == VIEW_SHARED) {
		put_xml(f, *name ? name : kind_text(p), 30);
	} else if (is_stack_of_thread(p)) {
		fputs("stacks of threads", f);
	} else {
		fputs(kind_text(p), f);
	}
	if (last->w.kind == VIEW_RESERVE && last != p)
		fputs(", and its reserve", f);
	else if (p->nr > 1)
		fprintf(f, " and others: %zu VMAs", nr);
	else if (nr > 1 && p->w.kind != VIEW_FILE)
		fprintf(f, ": %zu VMAs", nr);
}

struct sums {
	uint64_t size, resident, live;
	bool sampled, has_live;
};

static struct sums sum_label(const struct strip *st, const struct label *l)
{
	struct sums n = { .sampled = true };
	size_t i;

	for (i = l->first; i < l->first + l->nr; i++) {
		const struct part *p = &st->parts[i];

		if (p->what != PART_VMAS)
			continue;
		n.size += p->size;
		n.resident += p->resident;
		n.live += p->live;
		n.sampled = n.sampled && (p->sampled || p->is_none);
		n.has_live = n.has_live || p->has_live;
	}
	return n;
}

static void put_cell(FILE *f, double x, double y, const char *text)
{
	fprintf(f, "<text class=\"num\" x=\"%.0f\" y=\"%.1f\">%s</text>", x,
		y + 4, text);
}

static void put_label(const struct strip *st, const struct label *l)
{
	const struct part *p = &st->parts[l->first];
	struct sums n = sum_label(st, l);
	bool may_live = view_is_allocators(p->w.kind) &&
			p->w.kind != VIEW_RESERVE;
	FILE *f = st->o->f;
	char buf[32];

	fprintf(f,
		"<path class=\"lead\" d=\"M%.0f %.1fL%.0f %.1fL%.0f %.1f\"/>"
		"<text class=\"name\" x=\"%.0f\" y=\"%.1f\">",
		STRIP_X + STRIP_W + 2, l->at, NAME_X - 22, l->y, NAME_X - 6,
		l->y, NAME_X, l->y + 4);
	put_label_name(st, l);
	fputs("</text>", f);
	put_cell(f, SIZE_X, l->y, human(n.size, buf));
	put_cell(f, RES_X, l->y, n.sampled ? human(n.resident, buf) : "?");
	put_cell(f, LIVE_X, l->y,
		 n.has_live			      ? human(n.live, buf) :
		 may_live && !space_has_chunks(st->s) ? "?" :
							"");
	fputc('\n', f);
}

static void put_heads(const struct strip *st)
{
	static const struct {
		double x;
		const char *text;
	} heads[] = { { SIZE_X, "size" },
		      { RES_X, "resident" },
		      { LIVE_X, "live" } };

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		fprintf(st->o->f,
			"<text class=\"num head\" x=\"%.0f\" y=\"%.0f\">%s</text>",
			heads[i].x, st->top - 12, heads[i].text);
}

/* --- boxes */

static double fill(FILE *f, const char *class, const struct part *p, double x,
		   double share)
{
	double w = STRIP_W * share;

	if (x + w > STRIP_X + STRIP_W)
		w = STRIP_X + STRIP_W - x;
	if (w > 0)
		fprintf(f,
			"<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>",
			class, x, p->y, w, p->h);
	return x + (w > 0 ? w : 0);
}

static void put_fill(const struct strip *st, const struct part *p)
{
	double size = (double)p->size, x = STRIP_X;
	bool split = view_is_allocators(p->w.kind) && space_has_chunks(st->s);
	FILE *f = st->o->f;

	if (p->is_none) {
		fill(f, "rsv", p, x, 1);
		return;
	}
	if (!p->sampled) {
		fill(f, "unk", p, x, 1);
		return;
	}
	x = fill(f, "live", p, x, (double)p->live_resident / size);
	x = fill(f, split ? "held" : "res", p, x,
		 (double)(p->resident - p->live_resident) / size);
	if (p->live > p->live_resident)
		x = fill(f, "lazy", p, x,
			 (double)(p->live - p->live_resident) / size);
	fill(f, "com", p, x, 1);
}

static void put_zigzag(FILE *f, double y, const char *class)
{
	double x;

	fprintf(f, "<path class=\"%s\" d=\"M%.0f %.1f", class, STRIP_X, y);
	for (x = STRIP_X; x < STRIP_X + STRIP_W; x += 20)
		fprintf(f, "l5 -4 l10 8 l5 -4");
	fputs("\"/>", f);
}

static void put_title(const struct strip *st, const struct part *p)
{
	FILE *f = st->o->f;
	char buf[32], flags[5];

	fprintf(f, "<title>%08" PRIx64 "-%08" PRIx64 " ", p->start, p->end);
	if (p->what == PART_GAP) {
		fprintf(f, "free: %s</title>", human(p->size, buf));
		return;
	}
	fprintf(f, "%s %s ", perms(&p->w.v->d, flags), kind_text(p));
	put_xml(f, vma_name(st->o, st->s, p->w.v), 0);
	if (p->nr > 1)
		fprintf(f, " and %zu more VMAs", p->nr - 1);
	fprintf(f, "\n%s", human(p->size, buf));
	if (p->sampled)
		fprintf(f, ", resident %s", human(p->resident, buf));
	if (p->has_live)
		fprintf(f, ", live %s", human(p->live, buf));
	fputs("</title>", f);
}

static void put_vmas(const struct strip *st, size_t i)
{
	const struct part *p = &st->parts[i];
	FILE *f = st->o->f;

	fprintf(f, "<g class=\"part\" data-part=\"%zu\">", i);
	put_title(st, p);
	put_fill(st, p);
	fprintf(f,
		"<rect class=\"box\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>",
		STRIP_X, p->y, STRIP_W, p->h);
	if (p->cut) {
		put_zigzag(f, p->y + p->h / 2, "cutback");
		put_zigzag(f, p->y + p->h / 2, "cut");
	}
	fputs("</g>\n", f);
}

static void put_gap(const struct strip *st, size_t i)
{
	const struct part *p = &st->parts[i];
	double mid = p->y + p->h / 2;
	FILE *f = st->o->f;
	char buf[32];

	fprintf(f,
		"<g class=\"gap\" data-part=\"%zu\"><rect class=\"free\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>",
		i, STRIP_X, p->y, STRIP_W, p->h);
	put_title(st, p);
	if (p->size >= WIDE_GAP)
		fprintf(f,
			"<text class=\"mid\" x=\"%.0f\" y=\"%.1f\">free, %s</text>",
			STRIP_X + STRIP_W / 2, mid + 4, human(p->size, buf));
	fprintf(f, "</g>\n");
}

static void put_kernel(const struct strip *st, const struct part *p)
{
	fprintf(st->o->f,
		"<rect class=\"kern\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>"
		"<text class=\"mid onkern\" x=\"%.0f\" y=\"%.1f\">kernel</text>\n",
		STRIP_X, p->y, STRIP_W, p->h, STRIP_X + STRIP_W / 2,
		p->y + p->h / 2 + 4);
}

/* Which way it grows: an arrow from y by dy, and its name. */
static void put_arrow(FILE *f, double x, double y, double dy, const char *text)
{
	double tip = dy < 0 ? 6 : -6;

	fprintf(f,
		"<path class=\"arrow\" d=\"M%.0f %.1fv%.0fm-5 %.0fl5 %.0fl5 %.0f\"/>"
		"<text class=\"small\" x=\"%.0f\" y=\"%.1f\">%s</text>\n",
		x, y, dy, tip, -tip, tip, x + 8, y + dy / 2 + 4, text);
}

/* Into the wide gap above or below part i. */
static void put_growth(const struct strip *st, size_t i, bool up,
		       const char *text)
{
	const struct part *p = &st->parts[i];
	size_t n = up ? i + 1 : i - 1;

	if ((!up && !i) || n >= st->nr || st->parts[n].what != PART_GAP ||
	    st->parts[n].size < WIDE_GAP)
		return;
	if (up)
		put_arrow(st->o->f, STRIP_X + 12, p->y, -18, text);
	else
		put_arrow(st->o->f, STRIP_X + 12, p->y + p->h, 18, text);
}

/* The heap by brk, mappings downwards, the stack as well. */
static void put_arrows(const struct strip *st)
{
	size_t heap = SIZE_MAX, lowest = SIZE_MAX, i;

	for (i = 0; i < st->nr; i++) {
		const struct part *p = &st->parts[i];

		if (p->what != PART_VMAS)
			continue;
		if (p->w.kind == VIEW_HEAP)
			heap = i;
		else if (p->w.kind == VIEW_STACK)
			put_growth(st, i, false, "grows");
		else if (lowest == SIZE_MAX && p->start >= st->s->brk &&
			 st->s->brk && p->w.kind != VIEW_OURS)
			lowest = i;
	}
	if (heap != SIZE_MAX)
		put_growth(st, heap, true, "brk");
	if (lowest != SIZE_MAX)
		put_growth(st, lowest, false, "mmap");
}

/* Where parts begin, as far as there is room. */
static void put_addresses(const struct strip *st)
{
	double y = st->foot + 2 * LINE;
	size_t i;

	for (i = 0; i < st->nr; i++) {
		const struct part *p = &st->parts[i];
		double at = p->y + p->h;

		if (at + 4 > y - 12 || (p->what == PART_GAP && i))
			continue;
		fprintf(st->o->f,
			"<text class=\"addr\" x=\"%.0f\" y=\"%.1f\">%" PRIx64
			"</text>",
			STRIP_X - 8, at + (i ? 2 : 0), p->start);
		y = at;
	}
	fputc('\n', st->o->f);
}

/* --- what lies below it */

static double put_swatch(FILE *f, double x, double y, const char *class,
			 const char *text, double advance)
{
	fprintf(f,
		"<rect class=\"%s\" x=\"%.0f\" y=\"%.0f\" width=\"16\" height=\"11\"/>"
		"<rect class=\"box\" x=\"%.0f\" y=\"%.0f\" width=\"16\" height=\"11\"/>"
		"<text class=\"small\" x=\"%.0f\" y=\"%.0f\">%s</text>",
		class, x, y, x, y, x + 22, y + 10, text);
	return x + advance;
}

static void put_legend(const struct strip *st, double y)
{
	FILE *f = st->o->f;
	double x = 20;

	x = put_swatch(f, x, y, "live", "live: in use, and resident", 190);
	x = put_swatch(f, x, y, "held",
		       "held: the allocator's, resident, not live", 272);
	x = put_swatch(f, x, y, "res", "resident: files, stacks, other", 208);
	put_swatch(f, x, y, "lazy", "asked for, no page yet", 170);
	y += 18;
	x = put_swatch(f, 20, y, "com", "committed, no page yet", 190);
	x = put_swatch(f, x, y, "rsv", "reserved: address space only", 272);
	x = put_swatch(f, x, y, "free", "free", 208);
	put_swatch(f, x, y, "unk", "not known: not sampled", 170);
}

/* A length that stands for a round number of bytes. */
static void put_scale(const struct strip *st, double y)
{
	uint64_t bytes = 4096;
	char buf[32];

	while ((double)bytes / st->scale < 24)
		bytes *= 2;
	fprintf(st->o->f,
		"<path class=\"arrow\" d=\"M24 %.1fh8m-4 0v%.1fm-4 0h8\"/>"
		"<text class=\"small\" x=\"44\" y=\"%.1f\">%s: heights are to scale, but least ones; what a zigzag crosses is cut, what is free, reserved or vmaheap's own is folded.</text>"
		"<text class=\"small\" x=\"44\" y=\"%.1f\">The width of each part stands for all its bytes.</text>\n",
		y, (double)bytes / st->scale, y + 11, human(bytes, buf),
		y + 26);
}

static void put_style(FILE *f)
{
	fputs("<style>", f);
	asset_put(f, ASSET_STRIP_CSS);
	fputs("</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n",
	      f);
}

static void put_caption(const struct strip *st, double y)
{
	FILE *f = st->o->f;

	fprintf(f, "<text class=\"caption\" x=\"20\" y=\"%.0f\">Process %u (",
		y, st->s->owner);
	put_xml(f, st->s->comm, 0);
	fputs("), its address space at ", f);
	put_time(st->o, f, st->s->died ? st->s->died : st->o->now);
	fputs(" s</text>\n", f);
}

static void put_parts(const struct strip *st)
{
	for (size_t i = 0; i < st->nr; i++) {
		if (st->parts[i].what == PART_GAP)
			put_gap(st, i);
		else if (st->parts[i].what == PART_VMAS)
			put_vmas(st, i);
		else
			put_kernel(st, &st->parts[i]);
	}
}

void strip_patterns(FILE *f)
{
	fputs("<defs><pattern id=\"hatch\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">"
	      "<path class=\"hatch\" d=\"M0 0V7\"/></pattern>"
	      "<pattern id=\"dots\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">"
	      "<rect class=\"lazyback\" width=\"6\" height=\"6\"/><circle class=\"dot\" cx=\"2\" cy=\"2\" r=\"1.3\"/></pattern>"
	      "<pattern id=\"cross\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\">"
	      "<path class=\"hatch\" d=\"M0 0L7 7M7 0L0 7\"/></pattern></defs>\n",
	      f);
}

void strip_svg(const struct strip *st, bool inner)
{
	double head = inner ? 0 : 34, height = st->foot + 120;
	FILE *f = st->o->f;

	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"strip\" viewBox=\"0 %.0f %.0f %.0f\" %s>\n",
		-head, WIDTH, height + head,
		inner ? "role=\"group\" aria-label=\"address space\"" : "");
	if (!inner) {
		put_style(f);
		strip_patterns(f);
		put_caption(st, -head + 24);
	}
	put_heads(st);
	put_parts(st);
	put_arrows(st);
	put_addresses(st);
	for (size_t i = 0; i < st->nr_labels; i++)
		put_label(st, &st->labels[i]);
	put_legend(st, st->foot + 24);
	put_scale(st, st->foot + 68);
	fputs("</svg>\n", f);
}

/* --- JSON */

static json_t *json_folded(const struct part *p)
{
	return json_pack("{s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "start",
			 json_addr(p->start), "end", json_addr(p->end), "vmas",
			 json_u64(p->nr), "kind", view_kind_name(p->w.kind),
			 "size", json_u64(p->size), "resident",
			 p->sampled ? json_u64(p->resident) : json_null(),
			 "live", p->has_live ? json_u64(p->live) : json_null());
}

json_t *strip_json(const struct strip *st)
{
	json_t *list = json_array();

	for (size_t i = 0; i < st->nr; i++) {
		const struct part *p = &st->parts[i];
		json_t *j;

		if (p->what == PART_VMAS && p->nr == 1)
			j = json_maps_vma(st->o, st->s, p->first);
		else if (p->what == PART_VMAS)
			j = json_folded(p);
		else
			j = json_pack("{s:o, s:o, s:s}", "start",
				      json_addr(p->start), "end",
				      json_addr(p->end), "kind",
				      p->what == PART_GAP ? "free" : "kernel");
		json_array_append_new(list, j);
	}
	return list;
}
