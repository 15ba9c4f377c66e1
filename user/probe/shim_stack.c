// SPDX-License-Identifier: GPL-2.0
/*
 * Walking the stack. What is on it, of functions without frame pointers:
 *
 *      sp  ->  | locals, saved registers   of the function that runs
 *              | return address            into its caller ...
 *      CFA ->  | locals, saved registers   of the caller
 *              | return address
 *      ...
 *
 * For each code address there is one rule that says how far its CFA is and where
 * rbp was saved (shim_cfi.h). It is worked out when the address is met first, and
 * kept in a table that all threads share, so a frame costs a look-up and two
 * loads.
 *
 * Most often the outer part of the stack is that of the walk before. A frame is
 * determined by pc, sp, bp and what is on the stack above, so when all three are
 * those of a frame of the walk before, and every return address and saved rbp
 * further out still is what it was, so are all frames further out. (But of a
 * function that has realigned the stack: no_slot.) Comparing is
 * cheaper than walking: no load waits for another one.
 *
 * Only mapped memory is read. Between sp and the top of the thread's own stack all
 * is mapped: that was tried out, page by page, when sp came down there first. On
 * other stacks (of a signal, of a coroutine) each page is tried.
 *
 * Where there is no rule the frame pointer is followed, if that leads back, all
 * the way, to a place behind a call. Where nothing leads on, the stack is
 * truncated, and says so.
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#include "probe/shim.h"
#include "probe/shim_cfi.h"
#include "probe/shim_stack.h"
#include "probe/shim_sys.h"

#pragma GCC visibility push(hidden)

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))

#define PAGE 4096ull
#define WAYS 4
#define SETS 8192u
#define TOLD_WAYS 8
#define TOLD_SETS 8192u
#define OWN_STACK_MAX (1ull << 30)
#define FOREIGN_MAX (1ull << 20) /* bytes of another stack that are looked at */
#define POINTERS_MAX 64 /* frames in a row without a rule */
#define SHIM_FRAMES_MAX 8 /* between the target's call and walk() */
/*
 * Threads raise the stamp in steps of a nanosecond (slot_take_turn()), the kernel
 * by more than this. Libraries are loaded and unloaded under one lock and with
 * mmap, which raises it, so no library lies where another one was without that.
 * Where there is no module a call of dlclose() says so (shim_loader.c).
 */
#define STAMP_STEP 100

/* A set of rules. A key is the address, with the era, xor the rule. */
struct rule_set {
	uint64_t key[WAYS];
	uint64_t rule[WAYS];
} __attribute__((aligned(64)));

struct rules {
	uint64_t era; /* rises when something was loaded or unloaded */
	uint64_t adds, subs;
	struct rule_set sets[SETS];
	uint64_t told[TOLD_SETS][TOLD_WAYS];
};

size_t rules_bytes(void)
{
	return sizeof(struct rules);
}

/* --- what is mapped */

/*
 * Reads the byte without a fault: there is no such `how`, but first it is copied. What a
 * call must not ask for is not there, and a stack that needs it is cut.
 */
static bool is_mapped(uint64_t addr)
{
	return !shim_guarded &&
	       sys6(SYS_rt_sigprocmask, ~0u, (long)(addr & ~7ull), 0, 8, 0,
		    0) != -EFAULT;
}

/*
 * Pages of loaded objects that were found to be mapped, in this era: a page's
 * address lies where its number says, or is forgotten.
 */
#define KNOWN_PAGES 1024
static uint64_t known_pages[KNOWN_PAGES];

static bool is_page_mapped(uint64_t addr)
{
	uint64_t page = addr & ~(PAGE - 1);
	uint64_t *known = &known_pages[page / PAGE % KNOWN_PAGES];

	if (__atomic_load_n(known, __ATOMIC_RELAXED) == page)
		return true;
	if (!is_mapped(addr))
		return false;
	__atomic_store_n(known, page, __ATOMIC_RELAXED);
	return true;
}

/* The ends are tried: what is asked for lies in one segment of a file. */
static bool is_readable(const void *p, size_t n)
{
	return is_page_mapped((uintptr_t)p) &&
	       is_page_mapped((uintptr_t)p + n - 1);
}

static void forget_pages(void)
{
	int i;

	for (i = 0; i < KNOWN_PAGES; i++)
		__atomic_store_n(&known_pages[i], 0, __ATOMIC_RELAXED);
}

/* As <dlfcn.h> of glibc 2.35 and later has it. */
struct found_object {
	uint64_t flags;
	void *start, *end;
	void *link_map;
	void *eh_frame_hdr;
	uint64_t reserved[7];
};

static int (*dl_find_object)(void *addr, struct found_object *found);
static int (*iterate)(int (*each)(struct dl_phdr_info *info, size_t size,
				  void *arg),
		      void *arg); /* dl_iterate_phdr() */
static uint64_t main_stack_top; /* 0: not known */

#ifdef SHIM_INJECTED
/* Filled in by the injector where they exist (intake/inject_image.c). */
#pragma weak dl_iterate_phdr
#define IMPORT __attribute__((weak, visibility("default")))
extern int
find_object_in(void *addr,
	       struct found_object *found) __asm__("_dl_find_object") IMPORT;
extern uint64_t stack_end __asm__("__libc_stack_end") IMPORT;

void walk_init(void)
{
	iterate = dl_iterate_phdr;
	dl_find_object = find_object_in;
	main_stack_top = &stack_end ? stack_end : 0;
}
#else
void walk_init(void)
{
	void *f = dlsym(RTLD_DEFAULT, "_dl_find_object");
	uint64_t *top = dlsym(RTLD_DEFAULT, "__libc_stack_end");

	iterate = dl_iterate_phdr;
	memcpy(&dl_find_object, &f, sizeof(f));
	main_stack_top = top ? *top : 0;
}
#endif

struct search {
	uint64_t addr;
	struct cfi_object found;
};

static int look_into(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *s = arg;
	struct cfi_object o = { ~0ull, 0, NULL };
	int i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uint64_t start = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type == PT_GNU_EH_FRAME)
			o.hdr = (const uint8_t *)start;
		if (ph->p_type != PT_LOAD)
			continue;
		if (start < o.start)
			o.start = start;
		if (start + ph->p_memsz > o.end)
			o.end = start + ph->p_memsz;
	}
	if (s->addr < o.start || s->addr >= o.end)
		return 0;
	s->found = o;
	return 1;
}

/* Before glibc 2.35, and in other libcs, with the loader's lock. */
static bool find_object_slowly(uint64_t addr, struct cfi_object *o)
{
	struct search s = { .addr = addr };

	if (iterate)
		iterate(look_into, &s);
	*o = s.found;
	return o->hdr;
}

static bool find_object(uint64_t addr, struct cfi_object *o)
{
	struct found_object f;

	if (!dl_find_object)
		return find_object_slowly(addr, o);
	if (dl_find_object((void *)addr, &f))
		return false;
	*o = (struct cfi_object){ (uintptr_t)f.start, (uintptr_t)f.end,
				  f.eh_frame_hdr };
	return o->hdr;
}

void rules_expire(struct rules *r)
{
	forget_pages();
	__atomic_fetch_add(&r->era, 1, __ATOMIC_ACQ_REL);
}

struct loads {
	uint64_t adds, subs;
};

static int first_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct loads *l = arg;

	(void)size;
	l->adds = info->dlpi_adds;
	l->subs = info->dlpi_subs;
	return 1;
}

/*
 * Something has happened since the last walk: does it make rules void? An era
 * ends with everything that is loaded, too, for what had no rule may have one.
 */
NOINLINE void look_at_loads(struct walker *w, uint64_t stamp)
{
	struct rules *r = w->rules;
	struct loads l = { 0 };
	uint64_t era;

	w->stamp = stamp;
	if (iterate)
		iterate(first_object, &l);
	if (l.adds != r->adds || l.subs != r->subs) {
		r->adds = l.adds;
		r->subs = l.subs;
		rules_expire(r);
	}
	era = __atomic_load_n(&r->era, __ATOMIC_ACQUIRE);
	if (era == w->era)
		return;
	w->era = era;
	w->nr = 0;
}

/* --- rules */

/* Addresses have 47 bits. An era that comes back after 65536 is no more there. */
static uint64_t rule_key(uint64_t pc, uint64_t era)
{
	return pc ^ era << 48;
}

static struct rule_set *rule_set(struct rules *r, uint64_t pc)
{
	return &r->sets[(pc ^ pc >> 13) & (SETS - 1)];
}

/* Two words are not written at once: when they do not belong together, no key fits. */
INLINE uint64_t rule_look_up(struct rules *r, uint64_t pc, uint64_t era)
{
	const struct rule_set *set = rule_set(r, pc);
	uint64_t key = rule_key(pc, era);
	int i;

	for (i = 0; i < WAYS; i++) {
		uint64_t rule =
			__atomic_load_n(&set->rule[i], __ATOMIC_RELAXED);

		if (likely((__atomic_load_n(&set->key[i], __ATOMIC_RELAXED) ^
			    rule) == key))
			return rule;
	}
	return 0;
}

static void rule_store(struct rules *r, uint64_t pc, uint64_t era,
		       uint64_t rule)
{
	struct rule_set *set = rule_set(r, pc);
	int i = 0;

	/* One that is empty, or of another era. */
	while (i < WAYS && set->rule[i] &&
	       (set->key[i] ^ set->rule[i]) >> 48 == (era & 0xffff))
		i++;
	if (i == WAYS) /* any of them */
		i = (int)((pc >> 4 ^ rule >> 32 ^ era) & (WAYS - 1));
	__atomic_store_n(&set->rule[i], rule, __ATOMIC_RELAXED);
	__atomic_store_n(&set->key[i], rule_key(pc, era) ^ rule,
			 __ATOMIC_RELAXED);
}

NOINLINE uint64_t rule_work_out(struct walker *w, uint64_t pc)
{
	uint64_t rule = rule_make(RULE_NONE, 0, BP_SAME, 0);
	struct cfi_object o;

	if (pc > WORD_ADDR_MAX)
		return rule;
	if (find_object(pc - 1, &o))
		rule = cfi_rule(&o, pc - 1, is_readable);
	rule_store(w->rules, pc, w->era, rule);
	return rule;
}

INLINE uint64_t rule_of(struct walker *w, uint64_t pc)
{
	uint64_t rule = rule_look_up(w->rules, pc, w->era);

	return likely(rule) ? rule : rule_work_out(w, pc);
}

/* --- the stack's memory */

/* [lo, hi) can be read; on another stack hi grows page by page. */
struct window {
	uint64_t lo, hi;
	bool foreign;
};

static uint64_t thread_descriptor(void)
{
	uint64_t tp;

	__asm__("mov %%fs:0, %0" : "=r"(tp)); /* x86-64 psABI 3.4.2 */
	return tp;
}

/*
 * glibc puts a thread's descriptor at the upper end of its stack
 * (nptl/allocatestack.c), and the main thread's stack ends where the loader
 * found the arguments. Whichever is next above sp.
 */
static uint64_t stack_top(uint64_t sp)
{
	uint64_t tp = thread_descriptor(), top = 0;

	if (main_stack_top > sp)
		top = main_stack_top;
	if (tp > sp && (!top || tp < top))
		top = tp;
	return top;
}

/* Is sp on the thread's own stack: all mapped from there to its top? */
NOINLINE bool own_stack(struct walker *w, uint64_t sp)
{
	uint64_t top = stack_top(sp), at, end;

	if (!top || top - sp > OWN_STACK_MAX)
		return false;
	if (top != w->top) {
		w->top = top;
		w->lo = top;
	}
	end = w->lo;
	for (at = sp & ~(PAGE - 1); at < end; at += PAGE)
		if (!is_mapped(at))
			return false;
	w->lo = sp & ~(PAGE - 1);
	return true;
}

INLINE bool window_at(struct walker *w, uint64_t sp, struct window *win)
{
	if (likely(sp >= w->lo && sp < w->top) || own_stack(w, sp)) {
		*win = (struct window){ sp, w->top, false };
		return true;
	}
	if (sp % 8 || !is_mapped(sp))
		return false;
	*win = (struct window){ sp, (sp & ~(PAGE - 1)) + PAGE, true };
	return true;
}

NOINLINE bool window_grow(struct window *win, uint64_t addr, uint64_t n)
{
	if (!win->foreign || addr < win->lo || addr - win->lo > FOREIGN_MAX)
		return false;
	while (win->hi < addr + n && is_mapped(win->hi))
		win->hi += PAGE;
	return win->hi >= addr + n;
}

/* May [addr, addr + n) be read? */
INLINE bool window_has(struct window *win, uint64_t addr, uint64_t n)
{
	return likely(addr >= win->lo && addr <= win->hi &&
		      win->hi - addr >= n) ||
	       window_grow(win, addr, n);
}

static uint64_t load(uint64_t addr)
{
	return *(const uint64_t *)addr;
}

/* --- from one frame to the next */

/*
 * The kernel's frame of a signal: at sp lies a struct ucontext
 * (arch/x86/include/uapi/asm/ucontext.h, sigcontext.h), whose registers begin
 * at 40: r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip.
 */
static bool walk_signal(struct walker *w, struct window *win, struct frame *f)
{
	uint64_t sp = f->sp;

	if (!window_has(win, sp, 176))
		return false;
	f->bp = load(sp + 120);
	f->sp = load(sp + 160);
	f->pc = load(sp + 168) + 1;
	w->foreign = true; /* the frames do not follow one another */
	return window_at(w, f->sp, win);
}

static bool is_behind_call(uint64_t pc)
{
	const uint8_t *p = (const uint8_t *)pc;

	if (!is_readable(p - 7, 7))
		return false;
	return p[-5] == 0xe8 || /* call rel32 */
	       (p[-2] == 0xff && (p[-1] & 0x38) == 0x10) || /* call *r, *(r) */
	       (p[-3] == 0xff && (p[-2] & 0x38) == 0x10) || /* ... disp8 */
	       (p[-4] == 0xff && (p[-3] & 0x38) == 0x10) ||
	       (p[-6] == 0xff && (p[-5] & 0x38) == 0x10) || /* ... disp32 */
	       (p[-7] == 0xff && (p[-6] & 0x38) == 0x10);
}

/* Do the frame pointers from here lead to code that has rules? */
static bool pointers_lead_back(struct window *win, uint64_t bp, uint64_t sp)
{
	struct cfi_object o;
	uint64_t pc;
	int i;

	for (i = 0; i < POINTERS_MAX; i++) {
		if (bp < sp || bp % 8 || !window_has(win, bp, 16))
			return false;
		pc = load(bp + 8);
		if (pc > WORD_ADDR_MAX || !pc)
			return false;
		if (find_object(pc - 1, &o))
			return is_behind_call(pc);
		sp = bp + 16;
		bp = load(bp);
	}
	return false;
}

static bool walk_pointer(struct window *win, struct frame *f,
			 const uint64_t **bp_slot)
{
	uint64_t bp = f->bp;

	if (!pointers_lead_back(win, bp, f->sp))
		return false;
	*bp_slot = (const uint64_t *)bp;
	f->sp = bp + 16;
	f->pc = load(bp + 8);
	f->bp = load(bp);
	return true;
}

INLINE bool cfa_of(struct window *win, const struct frame *f, uint64_t rule,
		   uint64_t *cfa)
{
	enum rule_kind kind = rule_kind(rule);

	*cfa = (kind == RULE_SP ? f->sp : f->bp) + (uint64_t)rule_off(rule);
	if (unlikely(kind == RULE_BP_DEREF)) {
		if (!window_has(win, *cfa, 8))
			return false;
		*cfa = load(*cfa);
	}
	return *cfa > f->sp && *cfa - f->sp >= 8 &&
	       window_has(win, *cfa - 8, 8);
}

NOINLINE bool walk_odd(struct walker *w, struct window *win, struct frame *f,
		       uint64_t rule, const uint64_t **bp_slot)
{
	if (rule_kind(rule) == RULE_SIGNAL)
		return walk_signal(w, win, f);
	return rule_kind(rule) != RULE_END && walk_pointer(win, f, bp_slot);
}

/*
 * The slot of a frame whose CFA is in memory, where another one can be now though pc,
 * sp and bp are the same: it never agrees (no address, no small number), so the
 * frame is walked again each time.
 */
static const uint64_t no_slot = 0x8badf00d0badc0de;

/*
 * From a frame to its caller's. bp_slot: where the caller's rbp was found. False:
 * nothing leads on.
 */
INLINE bool walk_step(struct walker *w, struct window *win, struct frame *f,
		      uint64_t rule, const uint64_t **bp_slot)
{
	struct frame odd; /* so that *f can stay in registers */
	uint64_t cfa, slot;

	*bp_slot = NULL;
	if (unlikely(rule_kind(rule) > RULE_BP_DEREF)) {
		odd = *f;
		if (!walk_odd(w, win, &odd, rule, bp_slot))
			return false;
		*f = odd;
		return true;
	}
	if (unlikely(!cfa_of(win, f, rule, &cfa)))
		return false;
	switch (rule_bp(rule)) {
	case BP_SAME:
		break;
	case BP_LOST:
		f->bp = 0; /* no address of a stack: what needs it ends here */
		break;
	default:
		slot = (rule_bp(rule) == BP_AT_CFA ? cfa : f->bp) +
		       (uint64_t)rule_slot(rule);
		if (unlikely(!window_has(win, slot, 8)))
			return false;
		*bp_slot = (const uint64_t *)slot;
		f->bp = load(slot);
	}
	if (unlikely(rule_kind(rule) == RULE_BP_DEREF))
		*bp_slot = &no_slot;
	f->pc = load(cfa - 8);
	f->sp = cfa;
	return true;
}

/* --- the walk before */

INLINE bool is_frame(const struct frame *a, const struct frame *b)
{
	return !((a->pc ^ b->pc) | (a->sp ^ b->sp) | (a->bp ^ b->bp));
}

/* What has changed between frame i and its caller: not 0. */
INLINE uint64_t changed(const struct walker *w, uint32_t i)
{
	const struct frame *in = &w->frames[i], *out = in - 1;

	return (load(out->sp - 8) ^ out->pc) | (*in->bp_slot ^ out->bp);
}

/*
 * Frame i - 1 of the walk before is what is there now. Returns the outermost
 * frame of which that is true as well: 0: of all. (Without a branch that depends
 * on a frame: what comes before a call is often random.)
 */
static uint32_t confirm(const struct walker *w, uint32_t i)
{
	uint64_t any = 0;
	uint32_t at;

	for (at = i - 1; at > 0; at--)
		any |= changed(w, at);
	if (likely(!any))
		return 0;
	for (i--; i > 0 && !changed(w, i);)
		i--;
	return i;
}

/*
 * In the walk before, what has no slot has one that always agrees: the value in
 * the caller's frame itself.
 */
static void keep_frame(struct walker *w, uint32_t i, const struct frame *f)
{
	w->frames[i] = *f;
	if (!f->bp_slot)
		w->frames[i].bp_slot = i ? &w->frames[i - 1].bp :
					   &w->frames[0].bp;
}

static void reuse_frame(struct walker *w, struct frame *f, uint32_t i)
{
	*f = w->frames[i];
	if (i && f->bp_slot == &w->frames[i - 1].bp)
		f->bp_slot = NULL;
}

/* The frames behind the fresh ones are the `base` outermost of the walk before. */
static uint64_t finish(struct walker *w, uint32_t base, uint32_t fresh,
		       bool truncated)
{
	uint64_t hash = base ? w->hash[base - 1] : stack_hash_begin(truncated);
	uint32_t i;

	for (i = 0; i < fresh; i++) {
		keep_frame(w, base + i, &w->fresh[fresh - 1 - i]);
		hash = stack_hash_add(hash, w->frames[base + i].pc);
		w->hash[base + i] = hash;
	}
	w->nr = base + fresh;
	w->truncated = truncated;
	return w->id = stack_id(hash);
}

/*
 * A walk that has met the walk before at frame j - 1. True: it is finished with
 * the frames further out; else the walk goes on behind frame *j of the walk
 * before, which is fresh now.
 */
INLINE bool meet(struct walker *w, uint32_t *j, uint32_t *fresh,
		 struct frame *f)
{
	uint32_t i = confirm(w, *j), at, nr = *j + *fresh;
	/* One that was too deep had more frames further out. */
	bool cut = w->truncated && w->nr == STACK_FRAMES_MAX;

	if (!i && (nr == STACK_FRAMES_MAX || (nr < STACK_FRAMES_MAX && !cut)))
		return true;
	for (at = *j; at-- > i && *fresh < STACK_FRAMES_MAX;)
		reuse_frame(w, &w->fresh[(*fresh)++], at);
	*f = w->fresh[*fresh - 1];
	*j = i;
	return false;
}

INLINE uint64_t walk_on(struct walker *w, struct window *win, struct frame f)
{
	const uint64_t *bp_slot;
	uint32_t j = w->nr, fresh = 0;
	uint64_t rule;

	for (;;) {
		while (j && w->frames[j - 1].sp < f.sp)
			j--;
		if (j && is_frame(&w->frames[j - 1], &f)) {
			if (meet(w, &j, &fresh, &f))
				return fresh || j != w->nr ?
					       finish(w, j, fresh,
						      w->truncated) :
					       w->id;
		} else {
			w->fresh[fresh].pc = f.pc;
			w->fresh[fresh].sp = f.sp;
			w->fresh[fresh++].bp = f.bp;
		}
		rule = rule_of(w, f.pc);
		if (rule_kind(rule) == RULE_END)
			return finish(w, 0, fresh, false);
		/* What a handler returns to has not called it: it begins there. */
		if (unlikely(rule_kind(rule) == RULE_SIGNAL))
			w->fresh[fresh - 1].pc++;
		if (!walk_step(w, win, &f, rule, &bp_slot))
			break;
		w->fresh[fresh - 1].bp_slot = bp_slot;
		if (!f.pc) /* psABI 3.4.1: that is how the outermost is marked */
			return finish(w, 0, fresh, false);
		if (fresh == STACK_FRAMES_MAX || f.pc > WORD_ADDR_MAX)
			break;
	}
	return finish(w, 0, fresh, true);
}

/* Out of the shim: to the function that has called it. */
INLINE bool walk_out(struct walker *w, struct window *win, struct frame *f,
		     uint64_t caller)
{
	const uint64_t *unused;
	int i;

	for (i = 0; f->pc != caller; i++)
		if (i == SHIM_FRAMES_MAX ||
		    !walk_step(w, win, f, rule_of(w, f->pc), &unused))
			return false;
	return true;
}

uint64_t walk(struct walker *w, uint64_t caller, const uint64_t *fp,
	      uint64_t stamp)
{
	struct frame f = { fp[1], (uintptr_t)(fp + 2), fp[0], NULL };
	struct window win;
	uint64_t id = 0;

	/* Within another walk, by a signal; those have deeper frames. */
	if (unlikely(w->busy && (uintptr_t)fp < w->busy))
		return 0;
	w->busy = (uintptr_t)fp;
	if (unlikely(stamp - w->stamp > STAMP_STEP ||
		     w->era !=
			     __atomic_load_n(&w->rules->era, __ATOMIC_ACQUIRE)))
		look_at_loads(w, stamp);
	if (unlikely(w->foreign))
		w->nr = 0;
	w->foreign = false;
	if (window_at(w, f.sp, &win) && walk_out(w, &win, &f, caller)) {
		if (unlikely(win.foreign)) {
			w->nr = 0;
			w->foreign = true;
		}
		id = walk_on(w, &win, f);
	}
	w->busy = 0;
	return id;
}

void walker_reset(struct walker *w, struct rules *r)
{
	w->rules = r;
	w->stamp = w->lo = w->top = w->busy = 0;
	w->nr = 0;
	w->left = 0;
}

/* --- told stacks */

static uint64_t *told_set(struct rules *r, uint64_t id)
{
	return r->told[id & (TOLD_SETS - 1)];
}

bool stack_told(struct rules *r, uint64_t id)
{
	const uint64_t *set = told_set(r, id);
	int i;

	for (i = 0; i < TOLD_WAYS; i++)
		if (__atomic_load_n(&set[i], __ATOMIC_ACQUIRE) == id)
			return true;
	return false;
}

void stack_set_told(struct rules *r, uint64_t id)
{
	uint64_t *set = told_set(r, id);
	int i = 0;

	while (i < TOLD_WAYS && __atomic_load_n(&set[i], __ATOMIC_RELAXED))
		i++;
	if (i == TOLD_WAYS)
		i = (int)(id >> 20 & (TOLD_WAYS - 1));
	__atomic_store_n(&set[i], id, __ATOMIC_RELEASE);
}

#pragma GCC visibility pop
