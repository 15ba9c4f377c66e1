// SPDX-License-Identifier: GPL-2.0
/* The strip as SVG. Names are the target's: put_xml() makes text of them. */
#include <inttypes.h>
#include <string.h>

#include "output/asset.h"
#include "output/strip_inside.h"
#include "output/text.h"

#define STRIP_X 150.0
#define STRIP_W 260.0
#define NAME_X 452.0
#define SIZE_X 740.0
#define RES_X 830.0
#define LIVE_X 920.0
#define WIDTH 930.0

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
	if (strip_is_program(st, p)) {
		fprintf(f, "%s, ", segment(&p->w.v->d));
		put_xml(f, name, 22);
	} else if (p->w.kind == VIEW_FILE || p->w.kind == VIEW_SHARED) {
		put_xml(f, *name ? name : kind_text(p), 30);
	} else if (strip_is_thread_stack(p)) {
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

	fprintf(f, "<g class=\"line\" data-part=\"%zu\">", l->first);
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
	fputs("</g>\n", f);
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
	if (p->size >= STRIP_WIDE_GAP)
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
	    st->parts[n].size < STRIP_WIDE_GAP)
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
	double y = st->foot + 2 * STRIP_LINE;
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
