// SPDX-License-Identifier: GPL-2.0
/*
 * Uprobes on the allocator functions of a running process (Linux 5.8 on, for
 * the BPF ring buffer).
 *
 * Allocators call themselves: realloc calls malloc and free, reallocarray jumps
 * to realloc. Only the outermost call is told of. It is known by its stack
 * pointer, one for each thread:
 *
 *   sp below it   a call inside the call
 *   sp equal      a tail jump out of the call, when the return address on the
 *                 stack is that of the uretprobe trampoline (the outer entry
 *                 put it there, kernel/events/uprobes.c prepare_uretprobe());
 *                 else the next call of the same frame: the return was missed
 *   sp above it   the call was left without a return (longjmp, missed probe)
 *
 * So a missed return costs the one event, which is counted, and nothing wedges.
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "probe/alloc.h"
#include "probe/names.h"

/* enum alloc_op of probe/words.h, which needs a libc's headers. */
enum {
	OP_MALLOC = 1,
	OP_FREE = 2,
	OP_CALLOC = 3,
	OP_REALLOC = 4,
	OP_REALLOCARRAY = 5,
	OP_MEMALIGN = 6,
	OP_ALIGNED_ALLOC = 7,
	OP_POSIX_MEMALIGN = 8,
	OP_VALLOC = 9,
	OP_PVALLOC = 10,
};

/* The call that a thread is in; op 0: none. */
struct call {
	__u64 sp; /* at entry: points to the return address */
	__u64 caller;
	__u64 begin;
	__u64 size, align;
	__u64 out; /* posix_memalign: where the result will be; xallocx: the chunk */
	__u64 lost; /* events not told of yet */
	__u32 op;
	__u32 unused;
};

/*
 * All of it is there from the beginning (4 MB): of a map that allocates under a
 * probe kernels before 6.1 complain with a WARN (kernel/bpf/verifier.c 5.10,
 * check_map_prog_compatibility()). The calls of threads that find no room are lost.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, __u32); /* thread id */
	__type(value, struct call);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} records SEC(".maps");

__u64 hits; /* probes run */
__u64 lost; /* events that could not be told of */

/*
 * Where the kernel put the page with the uretprobe trampoline: the top of the
 * address space unless that is taken (xol_add_vma()); user space corrects it.
 */
__u64 trampoline = 0x7fffffffe000;

/*
 * All are probed, or calls would be told of whose counterparts are not: what is allocated
 * then and freed unseen would seem to live, until something else is found in its place.
 */
__u32 listening;

/* The returns of free and cfree are probed as well. */
__u32 free_returns = 1;

static struct call *call_of(__u32 tid)
{
	static const struct call none;
	struct call *c = bpf_map_lookup_elem(&calls, &tid);

	if (c)
		return c;
	bpf_map_update_elem(&calls, &tid, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&calls, &tid);
}

static void lose(struct call *c)
{
	__sync_fetch_and_add(&lost, 1);
	if (c)
		c->lost++;
}

static void tell(struct call *c, __u32 what, __u64 ts, __u64 addr)
{
	struct alloc_record *r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);

	if (!r) {
		lose(c);
		return;
	}
	r->tid = (__u32)bpf_get_current_pid_tgid();
	r->what = what;
	r->op = c->op;
	r->unused = 0;
	r->ts = ts;
	r->begin = c->begin;
	r->addr = addr;
	r->size = c->size;
	r->align = c->align;
	r->caller = c->caller;
	r->lost = c->lost;
	c->lost = 0;
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

static int is_inside(const struct call *c, __u64 sp, __u64 caller)
{
	if (!c->op)
		return 0;
	return sp < c->sp || (sp == c->sp && caller - trampoline < 4096);
}

/* returns: is the return of the function probed? (BPF calls have five arguments.) */
static __always_inline int enter(struct pt_regs *ctx, __u32 op, __u64 addr,
				 __u64 size, __u64 align, __u32 returns)
{
	__u64 sp = PT_REGS_SP(ctx), caller = 0;
	struct call *c;

	__sync_fetch_and_add(&hits, 1);
	if (!listening)
		return 0;
	c = call_of((__u32)bpf_get_current_pid_tgid());
	if (!c) {
		lose(c);
		return 0;
	}
	bpf_probe_read_user(&caller, sizeof(caller), (void *)sp);
	if (is_inside(c, sp, caller))
		return 0;
	if (c->op && c->op != OP_FREE)
		lose(c);
	c->op = op;
	c->sp = sp;
	c->caller = caller;
	c->begin = bpf_ktime_get_ns();
	c->size = size;
	c->align = align;
	c->out = op == OP_POSIX_MEMALIGN || (op == OP_REALLOC && align) ? addr :
									  0;
	if (op == OP_FREE || op == OP_REALLOC || op == OP_REALLOCARRAY)
		tell(c, ALLOC_RECORD_ENTER, c->begin, addr);
	if (!returns)
		c->op = 0; /* over, as far as we will ever know */
	return 0;
}

static __u64 product(__u64 a, __u64 b)
{
	__u64 p = a * b;

	/* Else clang makes a 128-bit product of it, which BPF has not. */
	__asm__ volatile("" : "+r"(p));
	return a && p / a != b ? ~0ull : p;
}

#define ENTER_CALL(name, op, addr, size, align, returns)           \
	SEC("uprobe")                                              \
	int enter_##name(struct pt_regs *ctx)                      \
	{                                                          \
		__u64 a = PT_REGS_PARM1(ctx);                      \
		__u64 b = PT_REGS_PARM2(ctx);                      \
		__u64 c = PT_REGS_PARM3(ctx);                      \
                                                                   \
		(void)a, (void)b, (void)c;                         \
		return enter(ctx, op, addr, size, align, returns); \
	}
#define ENTER(name, op, addr, size, align) \
	ENTER_CALL(name, op, addr, size, align, 1)

ENTER_CALL(free, OP_FREE, a, 0, 0, free_returns)
/* What may call free() to do its work: the end of it must be known. */
ENTER(delete, OP_FREE, a, 0, 0)
ENTER(malloc, OP_MALLOC, 0, a, 0)
ENTER(aligned_new, OP_ALIGNED_ALLOC, 0, a, b)
ENTER(calloc, OP_CALLOC, 0, product(a, b), 0)
ENTER(realloc, OP_REALLOC, a, b, 0)
ENTER(reallocarray, OP_REALLOCARRAY, a, product(b, c), 0)
ENTER(memalign, OP_MEMALIGN, 0, b, a)
ENTER(aligned_alloc, OP_ALIGNED_ALLOC, 0, b, a)
ENTER(posix_memalign, OP_POSIX_MEMALIGN, a, c, b)
ENTER(valloc, OP_VALLOC, 0, a, 4096)
ENTER(pvalloc, OP_PVALLOC, 0, a, 4096)
ENTER(zalloc, OP_CALLOC, 0, a, 0)
ENTER(calloc_aligned, OP_ALIGNED_ALLOC, 0, product(a, b), c)
ENTER(mallocn, OP_MALLOC, 0, product(a, b), 0)

SEC("uprobe")
int enter_mallocx(struct pt_regs *ctx)
{
	__u64 flags = PT_REGS_PARM2(ctx), align = MALLOCX_ALIGNMENT(flags);

	return enter(ctx,
		     align		    ? OP_ALIGNED_ALLOC :
		     flags & MALLOCX_ZEROED ? OP_CALLOC :
					      OP_MALLOC,
		     0, PT_REGS_PARM1(ctx), align, 1);
}

/* The most that it may have stands where no other realloc has an alignment. */
SEC("uprobe")
int enter_xallocx(struct pt_regs *ctx)
{
	__u64 size = PT_REGS_PARM2(ctx);

	return enter(ctx, OP_REALLOC, PT_REGS_PARM1(ctx), size,
		     size + PT_REGS_PARM3(ctx), 1);
}

/* It returns the size that it has: less than was asked for, and all is as it was. */
static __u64 leave_xallocx(struct call *c, __u64 has)
{
	__u64 most = c->align, size = c->size;

	c->align = 0;
	c->size = has < size || has > most ? most : has;
	return has < size ? 0 : c->out;
}

/* The return address has been popped. */
SEC("uretprobe")
int leave(struct pt_regs *ctx)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct call *c = bpf_map_lookup_elem(&calls, &tid);
	__u64 addr = PT_REGS_RC(ctx);

	__sync_fetch_and_add(&hits, 1);
	if (!c || !c->op || PT_REGS_SP(ctx) != c->sp + 8)
		return 0;
	if (c->op == OP_FREE)
		addr = 0;
	if (c->op == OP_REALLOC && c->out)
		addr = leave_xallocx(c, addr);
	if (c->op == OP_POSIX_MEMALIGN) {
		if ((__u32)addr) /* an error number */
			addr = 0;
		else
			bpf_probe_read_user(&addr, sizeof(addr),
					    (void *)c->out);
	}
	tell(c, ALLOC_RECORD_RETURN, bpf_ktime_get_ns(), addr);
	c->op = 0;
	return 0;
}

/* What a hit costs is measured with this one. */
SEC("uprobe")
int nothing(struct pt_regs *ctx)
{
	(void)ctx;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
