// SPDX-License-Identifier: GPL-2.0
/*
 * .eh_frame_hdr is a table, sorted by address, of the FDEs in .eh_frame. An FDE
 * (one function) points to a CIE (what many functions have in common). Both hold
 * a program that builds, line by line, the rules of each instruction; it is run
 * up to the line of the address that is asked for.
 */
#include <string.h>

#include "probe/shim_cfi.h"

#pragma GCC visibility push(hidden)

#define REG_BP 6
#define REG_SP 7
#define REG_RA 16
#define STATES 4 /* remembered ones, nested */
#define EXPR_DEPTH 8

/* DW_EH_PE_*: format in the low four bits, what it is relative to above. */
#define ENC_OMIT 0xff
#define ENC_PCREL 0x10
#define ENC_TABLE 0x3b /* relative to .eh_frame_hdr, signed, 4 bytes */
#define ENC_UDATA4 0x03

/* --- reading */

struct bytes {
	const uint8_t *p, *end;
	bool bad; /* it went past the end, or is not understood */
};

static uint64_t get(struct bytes *b, size_t n)
{
	uint64_t v = 0;

	if ((size_t)(b->end - b->p) < n) {
		b->bad = true;
		b->p = b->end;
		return 0;
	}
	memcpy(&v, b->p, n);
	b->p += n;
	return v;
}

/* LEB128 (DWARF 5, 7.6); `extend`: the signed kind. */
static uint64_t get_leb(struct bytes *b, bool extend)
{
	unsigned int shift = 0;
	uint64_t v = 0, byte;

	do {
		byte = get(b, 1);
		if (shift < 64)
			v |= (byte & 127) << shift;
		shift += 7;
	} while (byte & 128 && !b->bad);
	if (extend && byte & 64 && shift < 64)
		v |= ~0ull << shift;
	return v;
}

static uint64_t get_uleb(struct bytes *b)
{
	return get_leb(b, false);
}

static int64_t get_sleb(struct bytes *b)
{
	return (int64_t)get_leb(b, true);
}

static void skip(struct bytes *b, uint64_t n)
{
	if (n > (uint64_t)(b->end - b->p)) {
		b->bad = true;
		n = 0;
	}
	b->p += n;
}

/* A pointer in one of the formats that linkers use. */
static uint64_t get_encoded(struct bytes *b, uint8_t enc)
{
	uint64_t at = (uintptr_t)b->p, v;

	switch (enc & 15) {
	case 0x0: /* absptr */
	case 0x4: /* udata8 */
	case 0xc: /* sdata8 */
		v = get(b, 8);
		break;
	case 0x3: /* udata4 */
		v = get(b, 4);
		break;
	case 0xb: /* sdata4 */
		v = (uint64_t)(int64_t)(int32_t)get(b, 4);
		break;
	default:
		b->bad = true;
		return 0;
	}
	if (!(enc & 0x70))
		return v;
	if ((enc & 0x70) != ENC_PCREL)
		b->bad = true;
	return at + v;
}

/* --- expressions */

/*
 * A value on the stack of an expression: base + off, where base is a register
 * that we do not know yet; at most once dereferenced. What an expression says
 * of addresses and constants alone can be computed here: procedure linkage
 * tables do that.
 */
struct term {
	int reg; /* 0: a constant */
	bool deref;
	int64_t off;
};

/* Sums and products of what tables say may wrap. */
static int64_t wrap_add(int64_t a, uint64_t b)
{
	return (int64_t)((uint64_t)a + b);
}

static bool add(struct term *a, const struct term *b)
{
	if (a->deref || b->deref || (a->reg && b->reg))
		return false;
	a->reg |= b->reg;
	a->off = wrap_add(a->off, (uint64_t)b->off);
	return true;
}

static bool expr_binary(uint8_t op, struct term *a, const struct term *b)
{
	if (op == 0x22) /* plus */
		return add(a, b);
	if (a->reg || b->reg || a->deref || b->deref)
		return false;
	switch (op) {
	case 0x1a: /* and */
		a->off &= b->off;
		return true;
	case 0x24: /* shl */
		a->off = b->off >= 0 && b->off < 64 ?
				 (int64_t)((uint64_t)a->off << b->off) :
				 0;
		return true;
	case 0x2a: /* ge */
		a->off = a->off >= b->off;
		return true;
	default:
		return false;
	}
}

/* The operation pushes *t; false: it is not one of those. */
static bool expr_push(uint8_t op, struct bytes *b, uint64_t at, struct term *t)
{
	*t = (struct term){ 0 };
	if (op >= 0x30 && op <= 0x4f) { /* lit */
		t->off = op - 0x30;
		return true;
	}
	switch (op) {
	case 0x08: /* const1u */
		t->off = (int64_t)get(b, 1);
		return true;
	case 0x09: /* const1s */
		t->off = (int8_t)get(b, 1);
		return true;
	case 0x70 + REG_BP: /* breg */
	case 0x70 + REG_SP:
		t->reg = op - 0x70;
		t->off = get_sleb(b);
		return true;
	case 0x70 + REG_RA:
		t->off = wrap_add(get_sleb(b), at);
		return true;
	default:
		return false;
	}
}

static bool expr_eval(const uint8_t *p, uint64_t len, uint64_t at,
		      struct term *result)
{
	struct bytes b = { p, p + len, false };
	struct term stack[EXPR_DEPTH];
	unsigned int n = 0;
	uint8_t op;

	while (b.p < b.end) {
		op = (uint8_t)get(&b, 1);
		if (n < EXPR_DEPTH && expr_push(op, &b, at, &stack[n])) {
			n++;
		} else if (op == 0x06 && n && !stack[n - 1].deref) {
			stack[n - 1].deref = true;
		} else if (op == 0x23 && n && !stack[n - 1].deref) {
			stack[n - 1].off =
				wrap_add(stack[n - 1].off, get_uleb(&b));
		} else if (n >= 2 &&
			   expr_binary(op, &stack[n - 2], &stack[n - 1])) {
			n--;
		} else {
			return false;
		}
	}
	if (b.bad || n != 1)
		return false;
	*result = stack[0];
	return true;
}

/* --- the program */

/* Where a register of the caller is. */
struct place {
	enum { SAME, AT_CFA, EXPR, UNDEFINED, ELSEWHERE } how;
	int64_t off; /* AT_CFA */
	const uint8_t *expr; /* EXPR: its address */
	uint64_t len;
};

struct line {
	uint64_t cfa_reg;
	int64_t cfa_off;
	const uint8_t *cfa_expr; /* NULL: cfa_reg + cfa_off */
	uint64_t cfa_len;
	struct place bp, ra, sp;
};

struct program {
	struct bytes b;
	uint64_t at; /* the address asked for */
	uint64_t loc; /* of the line that is being built */
	uint64_t code_align;
	int64_t data_align;
	uint8_t enc; /* of addresses */
	bool signal;
	struct line now, initial, states[STATES];
	unsigned int nr_states;
};

static struct place *place_of(struct line *l, uint64_t reg)
{
	switch (reg) {
	case REG_BP:
		return &l->bp;
	case REG_SP:
		return &l->sp;
	case REG_RA:
		return &l->ra;
	default:
		return NULL;
	}
}

static void set_place(struct program *g, uint64_t reg, struct place to)
{
	struct place *pl = place_of(&g->now, reg);

	if (pl)
		*pl = to;
}

static int64_t factored(const struct program *g, int64_t n)
{
	return (int64_t)((uint64_t)n * (uint64_t)g->data_align);
}

static void at_cfa(struct program *g, uint64_t reg, int64_t n)
{
	set_place(g, reg,
		  (struct place){ .how = AT_CFA, .off = factored(g, n) });
}

static void restore(struct program *g, uint64_t reg)
{
	struct place *pl = place_of(&g->initial, reg);

	if (pl)
		set_place(g, reg, *pl);
}

static void get_expr(struct program *g, const uint8_t **p, uint64_t *len)
{
	*len = get_uleb(&g->b);
	*p = g->b.p;
	skip(&g->b, *len);
}

static void def_cfa(struct program *g, uint64_t reg, int64_t off)
{
	g->now.cfa_reg = reg;
	g->now.cfa_off = off;
	g->now.cfa_expr = NULL;
}

static void remember(struct program *g)
{
	if (g->nr_states == STATES)
		g->b.bad = true;
	else
		g->states[g->nr_states++] = g->now;
}

static void recall(struct program *g)
{
	if (!g->nr_states)
		g->b.bad = true;
	else
		g->now = g->states[--g->nr_states];
}

/* False: the next line is behind the address. */
static bool advance(struct program *g, uint64_t delta)
{
	if (delta * g->code_align > g->at - g->loc)
		return false;
	g->loc += delta * g->code_align;
	return true;
}

static void step_place(struct program *g, uint8_t op)
{
	uint64_t reg = get_uleb(&g->b);
	struct place pl = { .how = ELSEWHERE };

	switch (op) {
	case 0x05: /* offset_extended */
		at_cfa(g, reg, (int64_t)get_uleb(&g->b));
		return;
	case 0x06: /* restore_extended */
		restore(g, reg);
		return;
	case 0x07: /* undefined */
		pl.how = UNDEFINED;
		break;
	case 0x08: /* same_value */
		pl.how = SAME;
		break;
	case 0x10: /* expression */
		pl.how = EXPR;
		get_expr(g, &pl.expr, &pl.len);
		break;
	case 0x11: /* offset_extended_sf */
		at_cfa(g, reg, get_sleb(&g->b));
		return;
	case 0x2f: /* GNU_negative_offset_extended */
		at_cfa(g, reg, (int64_t)-get_uleb(&g->b));
		return;
	case 0x09: /* register */
	case 0x14: /* val_offset */
		get_uleb(&g->b);
		break;
	case 0x15: /* val_offset_sf */
		get_sleb(&g->b);
		break;
	case 0x16: /* val_expression */
		get_expr(g, &pl.expr, &pl.len);
		break;
	default:
		g->b.bad = true;
		return;
	}
	set_place(g, reg, pl);
}

static bool step_long(struct program *g, uint8_t op)
{
	uint64_t reg;

	switch (op) {
	case 0x00: /* nop */
		return true;
	case 0x01: /* set_loc */
		reg = get_encoded(&g->b, g->enc);
		if (reg < g->loc)
			g->b.bad = true;
		return !g->b.bad && advance(g, (reg - g->loc) / g->code_align);
	case 0x02: /* advance_loc1, 2, 4 */
		return advance(g, get(&g->b, 1));
	case 0x03:
		return advance(g, get(&g->b, 2));
	case 0x04:
		return advance(g, get(&g->b, 4));
	case 0x0a:
		remember(g);
		return true;
	case 0x0b:
		recall(g);
		return true;
	case 0x0c: /* def_cfa */
		reg = get_uleb(&g->b);
		def_cfa(g, reg, (int64_t)get_uleb(&g->b));
		return true;
	case 0x0d: /* def_cfa_register */
		def_cfa(g, get_uleb(&g->b), g->now.cfa_off);
		return true;
	case 0x0e: /* def_cfa_offset */
		g->now.cfa_off = (int64_t)get_uleb(&g->b);
		return true;
	case 0x0f: /* def_cfa_expression */
		get_expr(g, &g->now.cfa_expr, &g->now.cfa_len);
		return true;
	case 0x12: /* def_cfa_sf */
		reg = get_uleb(&g->b);
		def_cfa(g, reg, factored(g, get_sleb(&g->b)));
		return true;
	case 0x13: /* def_cfa_offset_sf */
		g->now.cfa_off = factored(g, get_sleb(&g->b));
		return true;
	case 0x2e: /* GNU_args_size */
		get_uleb(&g->b);
		return true;
	default:
		step_place(g, op);
		return true;
	}
}

/* One instruction; false: the line of the address is complete. */
static bool step(struct program *g)
{
	uint8_t op = (uint8_t)get(&g->b, 1);

	switch (op >> 6) {
	case 1:
		return advance(g, op & 63);
	case 2:
		at_cfa(g, op & 63, (int64_t)get_uleb(&g->b));
		return true;
	case 3:
		restore(g, op & 63);
		return true;
	default:
		return step_long(g, op);
	}
}

static bool run(struct program *g)
{
	while (g->b.p < g->b.end && !g->b.bad)
		if (!step(g))
			break;
	return !g->b.bad;
}

/* --- the tables */

/*
 * An entry of .eh_frame: its contents behind the length. A length that leaves the
 * object, or the 64-bit form that nobody writes: none.
 */
static bool open_entry(const struct cfi_object *o, const uint8_t *p,
		       bool (*readable)(const void *p, size_t n),
		       struct bytes *b)
{
	uint64_t at = (uintptr_t)p;
	uint32_t len;

	if (at < o->start || at + 8 > o->end || !readable(p, 8))
		return false;
	memcpy(&len, p, 4);
	if (len < 4 || len > o->end - at - 4 || !readable(p, len + 4))
		return false;
	*b = (struct bytes){ p + 4, p + 4 + len, false };
	return true;
}

static void skip_personality(struct bytes *b)
{
	uint8_t enc = (uint8_t)get(b, 1);

	get_encoded(b, enc & 15);
}

/* "zPLRS": what the letters announce. False: a letter that we do not know. */
static bool read_augmentation(struct program *g, struct bytes *b,
			      const char *letters)
{
	const uint8_t *end;
	uint64_t len;

	g->enc = 0;
	if (!*letters)
		return true;
	if (*letters++ != 'z')
		return false;
	len = get_uleb(b);
	if (b->bad || len > (uint64_t)(b->end - b->p))
		return false;
	end = b->p + len;
	for (; *letters; letters++) {
		switch (*letters) {
		case 'R':
			g->enc = (uint8_t)get(b, 1);
			break;
		case 'P':
			skip_personality(b);
			break;
		case 'L':
			get(b, 1);
			break;
		case 'S':
			g->signal = true;
			break;
		default:
			return false;
		}
	}
	b->p = end;
	return !b->bad;
}

/* Runs the CIE's program. *augmented: FDEs have augmentation data, too. */
static bool read_cie(struct program *g, struct bytes b, bool *augmented)
{
	const char *letters;
	uint64_t version, ra;

	if (get(&b, 4)) /* that is how a CIE is known */
		return false;
	version = get(&b, 1);
	letters = (const char *)b.p;
	while (get(&b, 1) && !b.bad)
		;
	g->code_align = get_uleb(&b);
	g->data_align = get_sleb(&b);
	ra = version == 1 ? get(&b, 1) : get_uleb(&b);
	if (b.bad || (version != 1 && version != 3) || ra != REG_RA ||
	    !g->code_align || !read_augmentation(g, &b, letters))
		return false;
	*augmented = *letters;
	g->b = b;
	g->loc = g->at; /* a CIE has no lines */
	if (!run(g))
		return false;
	g->initial = g->now;
	return true;
}

static bool run_fde(const struct cfi_object *o, struct program *g,
		    const uint8_t *fde,
		    bool (*readable)(const void *p, size_t n))
{
	struct bytes b, cie;
	const uint8_t *here;
	uint64_t start, range, back;
	bool augmented;

	if (!open_entry(o, fde, readable, &b))
		return false;
	here = b.p;
	back = get(&b, 4);
	if (!back || back > (uintptr_t)here - o->start ||
	    !open_entry(o, here - back, readable, &cie) ||
	    !read_cie(g, cie, &augmented))
		return false;
	start = get_encoded(&b, g->enc);
	range = get_encoded(&b, g->enc & 15);
	if (augmented)
		skip(&b, get_uleb(&b));
	if (b.bad || g->at < start || g->at - start >= range)
		return false;
	g->b = b;
	g->loc = start;
	return run(g);
}

static int32_t table_word(const uint8_t *table, size_t i)
{
	int32_t v;

	memcpy(&v, table + 4 * i, 4);
	return v;
}

/* The FDE of the last function that begins at or before `at`. NULL: none. */
static const uint8_t *find_fde(const struct cfi_object *o, uint64_t at,
			       bool (*readable)(const void *p, size_t n))
{
	uint64_t hdr = (uintptr_t)o->hdr, nr, lo = 0, hi;
	int64_t want = (int64_t)(at - hdr);
	const uint8_t *table = o->hdr + 12;
	uint32_t count;

	if (hdr < o->start || hdr + 12 > o->end || !readable(o->hdr, 12))
		return NULL;
	/* version, eh_frame_ptr (4 bytes), fde_count, table */
	if (o->hdr[0] != 1 || o->hdr[1] == ENC_OMIT ||
	    ((o->hdr[1] & 15) != 0xb && (o->hdr[1] & 15) != 3) ||
	    o->hdr[2] != ENC_UDATA4 || o->hdr[3] != ENC_TABLE)
		return NULL;
	memcpy(&count, o->hdr + 8, 4);
	nr = count;
	if (!nr || nr > (o->end - hdr - 12) / 8 || !readable(table, 8 * nr) ||
	    table_word(table, 0) > want)
		return NULL;
	for (hi = nr; hi - lo > 1;) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (table_word(table, 2 * mid) <= want)
			lo = mid;
		else
			hi = mid;
	}
	return o->hdr + table_word(table, 2 * lo + 1);
}

/* --- the rule */

static uint64_t encode_cfa(const struct program *g, struct term *cfa)
{
	const struct line *l = &g->now;

	*cfa = (struct term){ (int)l->cfa_reg, false, l->cfa_off };
	if (l->cfa_expr && !expr_eval(l->cfa_expr, l->cfa_len, g->at, cfa))
		return RULE_NONE;
	if (cfa->off != (int32_t)cfa->off)
		return RULE_NONE;
	if (cfa->reg == REG_SP && !cfa->deref)
		return RULE_SP;
	if (cfa->reg == REG_BP)
		return cfa->deref ? RULE_BP_DEREF : RULE_BP;
	return RULE_NONE;
}

static enum rule_bp encode_bp(const struct program *g, int16_t *slot)
{
	const struct place *bp = &g->now.bp;
	enum rule_bp how = BP_AT_CFA;
	struct term t = { 0, false, bp->off };

	*slot = 0;
	if (bp->how == SAME)
		return BP_SAME;
	if (bp->how == EXPR) {
		how = BP_AT_BP;
		if (!expr_eval(bp->expr, bp->len, g->at, &t) || t.deref ||
		    t.reg != REG_BP)
			return BP_LOST;
	} else if (bp->how != AT_CFA) {
		return BP_LOST;
	}
	*slot = (int16_t)(t.off / 8);
	return t.off % 8 || t.off / 8 != *slot ? BP_LOST : how;
}

static uint64_t encode(const struct program *g)
{
	struct term cfa;
	enum rule_kind kind = encode_cfa(g, &cfa);
	enum rule_bp bp;
	int16_t slot;

	if (g->now.ra.how == UNDEFINED)
		return rule_make(RULE_END, 0, BP_SAME, 0);
	/* The kernel's frame is the same everywhere: see walk_signal(). */
	if (g->signal)
		return rule_make(RULE_SIGNAL, 0, BP_SAME, 0);
	if (kind == RULE_NONE || g->now.ra.how != AT_CFA ||
	    g->now.ra.off != -8 || g->now.sp.how != SAME)
		return rule_make(RULE_NONE, 0, BP_SAME, 0);
	bp = encode_bp(g, &slot);
	return rule_make(kind, (int32_t)cfa.off, bp, slot);
}

uint64_t cfi_rule(const struct cfi_object *o, uint64_t at,
		  bool (*readable)(const void *p, size_t n))
{
	struct program g = { .at = at };
	const uint8_t *fde = find_fde(o, at, readable);

	if (!fde || !run_fde(o, &g, fde, readable))
		return rule_make(RULE_NONE, 0, BP_SAME, 0);
	return encode(&g);
}

#pragma GCC visibility pop
