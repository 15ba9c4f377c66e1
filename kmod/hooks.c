// SPDX-License-Identifier: GPL-2.0
/*
 * Where the kernel calls us.
 *
 * Mark: each place that writes the VMA tree of a process, or changes the
 * protection of a whole VMA in place, under the write side of its mmap_lock
 * (compat/points.h).
 *
 * Emit: up_write and downgrade_write are entered with the lock still held, so
 * what the tree holds there is what the write section made of it.
 *
 * Of the general ways ftrace costs least; where it cannot, kprobes serve. What
 * everybody runs through calls us directly, if nobody else is there (direct.c).
 *
 * Nothing that runs from here calls one of the hooked functions; that the
 * helper against recursion is used all the same is for other people's probes.
 * The module is built without ftrace for the same reason (Kbuild).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ftrace.h>
#include <linux/kprobes.h>
#include <linux/moduleparam.h>
#include <linux/rwsem.h>
#include <linux/seq_file.h>
#include <linux/tracepoint.h>
#include <trace/events/sched.h>

#include "vh.h"

enum how {
	OFF,
	DIRECT,
	FTRACE,
	KPROBE,
	TRACEPOINT,
};

static const char *const how_names[] = { "off", "direct", "ftrace", "kprobe",
					 "tracepoint" };

struct hook {
	const char *symbol;
	const char *refusal; /* for whoever asks to watch */
	enum how how; /* preferred, but for `direct` */
	enum how armed;
	void *probe; /* of a tracepoint */
	struct tracepoint *tp;
	unsigned long addr; /* of a function */
	struct vh_direct direct; /* no stub: not this way */
	struct ftrace_ops ops;
	struct kprobe kp;
};

/* --- handlers */

static __always_inline struct mm_struct *mm_of_lock(unsigned long sem)
{
	return container_of((struct rw_semaphore *)sem, struct mm_struct,
			    mmap_lock);
}

/*
 * The hottest one: every release of every rwsem in the system comes here (with
 * the locks of VMAs, Linux 6.4 to 6.14, 15 in a pair of mprotect()), so the
 * pointer is only compared, never followed, and that before anything else.
 */
static __always_inline bool maybe_release(unsigned long sem)
{
	return vh_maybe_watched(mm_of_lock(sem));
}

static __always_inline void on_up_write(unsigned long sem, unsigned long b,
					unsigned long c, unsigned long d)
{
	vh_on_release(mm_of_lock(sem));
}

#define on_downgrade_write on_up_write

static __always_inline void on_exit_mmap(unsigned long mm, unsigned long b,
					 unsigned long c, unsigned long d)
{
	vh_on_exit_mmap((struct mm_struct *)mm);
}

static __always_inline bool always(unsigned long arg)
{
	return true;
}

/*
 * Both ways into a handler. An ftrace callback runs as preemptible as its
 * caller, and must not sleep: unregister_ftrace_function() takes a sleep for
 * its end. The recursion helper switches preemption off, which is also what
 * the hash tables ask for. A kprobe handler runs with preemption off.
 */
#define ENTRIES(name) ENTRIES_IF(name, always)
#define ENTRIES_IF(name, maybe)                                           \
	static void name##_ftrace(unsigned long ip, unsigned long parent, \
				  struct ftrace_ops *ops,                 \
				  struct ftrace_regs *regs)               \
	{                                                                 \
		unsigned long arg = ftrace_regs_get_argument(regs, 0);    \
		int bit;                                                  \
		if (!maybe(arg))                                          \
			return;                                           \
		bit = ftrace_test_recursion_trylock(ip, parent);          \
		if (bit < 0)                                              \
			return;                                           \
		on_##name(arg, ftrace_regs_get_argument(regs, 1),         \
			  ftrace_regs_get_argument(regs, 2),              \
			  ftrace_regs_get_argument(regs, 3));             \
		ftrace_test_recursion_unlock(bit);                        \
	}                                                                 \
	static int name##_kprobe(struct kprobe *kp, struct pt_regs *regs) \
	{                                                                 \
		if (!maybe(regs_get_kernel_argument(regs, 0)))            \
			return 0;                                         \
		on_##name(regs_get_kernel_argument(regs, 0),              \
			  regs_get_kernel_argument(regs, 1),              \
			  regs_get_kernel_argument(regs, 2),              \
			  regs_get_kernel_argument(regs, 3));             \
		return 0;                                                 \
	}

ENTRIES_IF(up_write, maybe_release)
ENTRIES_IF(downgrade_write, maybe_release)
ENTRIES(exit_mmap)

#include "compat/points.h"

static void probe_fork(void *data, struct task_struct *parent,
		       struct task_struct *child)
{
	vh_on_fork(parent, child);
}

static void probe_exec(void *data, struct task_struct *p, pid_t old_pid,
		       struct linux_binprm *bprm)
{
	vh_on_exec(p);
}

/* Does not compile when the kernel's probes have other arguments than ours. */
static void __maybe_unused check_probes(void)
{
	check_trace_callback_type_sched_process_fork(probe_fork);
	check_trace_callback_type_sched_process_exec(probe_exec);
	check_trace_callback_type_sched_process_exit(probe_exit);
}

/* --- the table */

#define REFUSAL(name) "this kernel does not let " #name " be hooked"
#define FIELDS(name, way)                                           \
	.symbol = #name, .how = way, .refusal = REFUSAL(name),      \
	.ops = { .func = name##_ftrace, .flags = VH_FTRACE_FLAGS }, \
	.kp = { .pre_handler = name##_kprobe }
#define FUNCTION(name, way)       \
	{                         \
		FIELDS(name, way) \
	}
#define CHEAP(name, entry)                                                    \
	{                                                                     \
		FIELDS(name, FTRACE),                                         \
			.direct = { .symbols = (const char *const[]){ #name,  \
								      NULL }, \
				    .stub = entry },                          \
	}
#define TRACE(name, fn)                                                       \
	{                                                                     \
		.symbol = #name, .how = TRACEPOINT, .refusal = REFUSAL(name), \
		.probe = fn                                                   \
	}

/*
 * Armed from top to bottom, disarmed in reverse: what marks and emits is there
 * before a process can be found by the hooks that follow it.
 */
static struct hook hooks[] = {
	TREE_POINTS,
	CHEAP(up_write, vh_release_stub),
	CHEAP(downgrade_write, vh_release_stub),
	FUNCTION(exit_mmap, FTRACE),
	MADVISE_POINTS,
	TRACE(sched_process_exit, probe_exit),
	TRACE(sched_process_exec, probe_exec),
	TRACE(sched_process_fork, probe_fork),
};

static bool armed; /* vh_control */

/*
 * For the test that each hook is needed (make module-test): the one that is not
 * armed. A module for use has no such parameter.
 */
#ifdef VMAHEAP_TEST
static char *leave_out = "";
module_param(leave_out, charp, 0644);
MODULE_PARM_DESC(leave_out, "symbol of a hook that is not to be armed");

static bool left_out(const struct hook *h)
{
	return !strcmp(h->symbol, leave_out);
}
#else
static bool left_out(const struct hook *h)
{
	return false;
}
#endif

/*
 * With 0 in debugfs's kprobes/enabled a kprobe is registered all right, and not put
 * into place (kernel/kprobes.c 6.1, __register_kprobe: kprobes_all_disarmed, which
 * is static). It shows in the text.
 */
static bool is_idle(const struct kprobe *kp)
{
	return !(kp->flags & KPROBE_FLAG_FTRACE) &&
	       READ_ONCE(*kp->addr) == kp->opcode;
}

/* On an error, *refusal says what is in the way, if more is known than which hook. */
static int arm_one(struct hook *h, const char **refusal)
{
	int err;

	if (h->direct.stub && !vh_direct_arm(&h->direct)) {
		h->armed = DIRECT;
		return 0;
	}
	if (h->how == TRACEPOINT) {
		err = tracepoint_probe_register(h->tp, h->probe, NULL);
		h->armed = err ? OFF : TRACEPOINT;
		return err;
	}
	if (h->how == FTRACE) {
		err = register_ftrace_function(&h->ops);
		if (!err) {
			h->armed = FTRACE;
			return 0;
		}
		/*
		 * Of the sysctl, for what is permanent alone: whatever else goes by way
		 * of ftrace, a direct call and a kprobe as well, is registered then and
		 * never called (kernel/trace/ftrace.c 6.1, __register_ftrace_function,
		 * ftrace_startup_enable).
		 */
		if (err == -EBUSY) {
			*refusal = "kernel.ftrace_enabled is 0: set it to 1";
			return err;
		}
	}
	/* What a failed or earlier registration left behind is in the way. */
	h->kp.addr = (kprobe_opcode_t *)h->addr;
	h->kp.flags = 0;
	err = register_kprobe(&h->kp);
	if (!err && is_idle(&h->kp)) {
		unregister_kprobe(&h->kp);
		*refusal =
			"kprobes are switched off: write 1 to /sys/kernel/debug/kprobes/enabled";
		err = -EBUSY;
	}
	h->armed = err ? OFF : KPROBE;
	return err;
}

static void disarm_one(struct hook *h)
{
	switch (h->armed) {
	case DIRECT:
		vh_direct_disarm(&h->direct);
		break;
	case FTRACE:
		unregister_ftrace_function(&h->ops);
		break;
	case KPROBE:
		unregister_kprobe(&h->kp);
		break;
	case TRACEPOINT:
		tracepoint_probe_unregister(h->tp, h->probe, NULL);
		break;
	case OFF:
		break;
	}
	h->armed = OFF;
}

/* Under vh_control. On an error, *refusal says what could not be hooked. */
int vh_arm(const char **refusal)
{
	int i, err;

	if (armed)
		return 0;
	for (i = 0; i < ARRAY_SIZE(hooks); i++) {
		if (left_out(&hooks[i]))
			continue;
		*refusal = hooks[i].refusal;
		err = arm_one(&hooks[i], refusal);
		if (err) {
			armed = true; /* in part */
			vh_disarm();
			return err;
		}
	}
	vh_failed_arm();
	armed = true;
	return 0;
}

/* Returns when no handler runs any more. Under vh_control. */
void vh_disarm(void)
{
	int i;

	if (!armed)
		return;
	vh_fault_disarm();
	vh_failed_disarm();
	for (i = ARRAY_SIZE(hooks) - 1; i >= 0; i--)
		disarm_one(&hooks[i]);
	tracepoint_synchronize_unregister();
	armed = false;
}

unsigned int vh_hooks_armed(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < ARRAY_SIZE(hooks); i++)
		n += hooks[i].armed != OFF;
	return n;
}

void vh_hooks_show(struct seq_file *m)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(hooks); i++) {
		seq_printf(m, "hook %s: %s", hooks[i].symbol,
			   how_names[hooks[i].armed]);
		if (hooks[i].kp
			    .nmissed) /* hit inside somebody's probe: a change unseen */
			seq_printf(m, ", %lu missed", hooks[i].kp.nmissed);
		seq_putc(m, '\n');
	}
}

/* --- what this kernel has got */

static void find_tracepoint(struct tracepoint *tp, void *unused)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(hooks); i++)
		if (hooks[i].how == TRACEPOINT &&
		    !strcmp(hooks[i].symbol, tp->name))
			hooks[i].tp = tp;
}

/*
 * Where a function begins, 0: there is none. A kprobe that is registered but not
 * armed finds that, and no more. By a name it takes long, a search of all symbols.
 */
unsigned long vh_function(const char *symbol)
{
	struct kprobe kp = { .symbol_name = symbol,
			     .flags = KPROBE_FLAG_DISABLED };

	if (register_kprobe(&kp))
		return 0;
	unregister_kprobe(&kp);
	return (unsigned long)kp.addr;
}

/* For the test that a kernel without a hook point is refused, as leave_out. */
#ifdef VMAHEAP_TEST
static char *missing = "";
module_param(missing, charp, 0444);
MODULE_PARM_DESC(missing, "symbol of a hook that is looked for in vain");
#else
#define missing ""
#endif

static bool find(struct hook *h)
{
	if (!strcmp(h->symbol, missing))
		return false;
	if (h->how == TRACEPOINT)
		return h->tp;
	h->addr = vh_function(h->symbol);
	return h->addr;
}

int vh_hooks_init(void)
{
	int i;

	for_each_kernel_tracepoint(find_tracepoint, NULL);
	for (i = 0; i < ARRAY_SIZE(hooks); i++) {
		struct hook *h = &hooks[i];

		if (!find(h)) {
			pr_err("this kernel has no %s that could be hooked\n",
			       h->symbol);
			return -EOPNOTSUPP;
		}
		/* Not for ftrace after all (no call at its entry): a kprobe serves. */
		if (h->how == FTRACE &&
		    ftrace_set_filter_ip(&h->ops, h->addr, 0, 1))
			h->how = KPROBE;
	}
	return 0;
}

void vh_hooks_exit(void)
{
	int i;

	mutex_lock(&vh_control);
	vh_disarm();
	mutex_unlock(&vh_control);
	vh_direct_exit();
	for (i = 0; i < ARRAY_SIZE(hooks); i++)
		if (hooks[i].symbol && hooks[i].ops.func)
			ftrace_free_filter(&hooks[i].ops);
}
