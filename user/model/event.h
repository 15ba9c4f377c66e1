/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one internal event. Whatever the source (module, shim, uprobes, a trace
 * file), intake/ turns it into this, and model/ knows nothing else.
 */
#ifndef MODEL_EVENT_H
#define MODEL_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why ENOMEM: same values as enum vmaheap_failed_reason of the uapi header. */
enum failed_reason {
	FAILED_UNKNOWN,
	FAILED_MAP_COUNT, /* vm.max_map_count */
	FAILED_RLIMIT_AS,
	FAILED_RLIMIT_DATA,
	FAILED_TOLD, /* so many the module tells apart */
	/* Found out here: no hole of the address space was that large. */
	FAILED_NO_ROOM = FAILED_TOLD,
	FAILED_REASONS,
};

enum event_kind {
	EV_MM = 1, /* an address space is watched from here on */
	EV_RANGE, /* the VMAs in a range are now these */
	EV_FILE, /* the path of a (device, inode) */
	EV_MM_EXIT,
	EV_TASK, /* a process shares an address space (vfork) */
	EV_TASK_EXIT,
	EV_MADVISE,
	EV_LOST, /* the module could not report something */
	EV_CALL, /* an allocator call (see call_phase) */
	EV_CALLS_LOST, /* allocator events of a thread were dropped here */
	EV_RESIDENT, /* resident bytes of an address space, sampled */
	EV_FAILED, /* a system call on memory failed */
	EV_ALLOCATOR, /* which allocator serves an address space */
	EV_FOUND, /* chunks that malloc's own books name as in use */
	EV_VERIFY, /* the model was compared with /proc/PID/maps */
	EV_STACK, /* a stack that calls name */
	EV_BUILD_ID, /* what is in a (device, inode) */
	EV_FAULT, /* a page fault */
};

/* Bits of vma_desc.flags: same values as VMAHEAP_VMA_* of the uapi header. */
#define VMA_READ (1u << 0)
#define VMA_WRITE (1u << 1)
#define VMA_EXEC (1u << 2)
#define VMA_SHARED (1u << 3)
#define VMA_GROWSDOWN (1u << 4)
#define VMA_LOCKED (1u << 5)
#define VMA_HUGETLB (1u << 6)
#define VMA_DONTCOPY (1u << 7)
#define VMA_FILE (1u << 8)
#define VMA_VDSO (1u << 9)
#define VMA_VVAR (1u << 10)

/* One VMA as reported: addresses and offset in bytes, page-aligned, [start, end). */
struct vma_desc {
	uint64_t start, end;
	uint64_t offset;
	uint64_t ino;
	uint32_t dev; /* major << 20 | minor */
	uint32_t flags; /* VMA_* */
};

/* Bytes. */
struct rss {
	uint64_t file, anon, shmem, swap;
};

/*
 * The shim's own mappings lie in a region that the process may use as well. Each
 * begins a place and can be read and written, or is of an image, at the end of
 * the region. As in probe/words.h and inject.h (checked in intake/words.c).
 */
#define OURS_START 0x480000000000ull
#define OURS_END 0x490000000000ull
#define OURS_PLACE (1ull << 26)
#define OURS_IMAGE_PLACE (1ull << 22)
#define OURS_IMAGE (1ull << 20)

enum fault_flag {
	FAULT_COMPAT = 8, /* 32-bit system call table */
	FAULT_PRESENT = 16, /* there was a page, which may not be used so */
	FAULT_WRITE = 32,
	FAULT_EXEC = 64,
};

enum mm_cause { MM_ATTACH = 1, MM_FORK = 2, MM_EXEC = 3 };

enum range_flag {
	RANGE_MORE = 1, /* more parts follow: map_count is no checksum yet */
	RANGE_SNAPSHOT = 2, /* nothing changed, it was asked for */
	RANGE_LATE = 4, /* after back-pressure: the doer is not known */
	RANGE_COMPAT = 8, /* 32-bit system call table */
};

/* Same values as enum alloc_op of probe/words.h (checked in intake/words.c). */
enum call_op {
	CALL_NONE = 0,
	CALL_MALLOC,
	CALL_FREE,
	CALL_CALLOC,
	CALL_REALLOC,
	CALL_REALLOCARRAY,
	CALL_MEMALIGN,
	CALL_ALIGNED_ALLOC,
	CALL_POSIX_MEMALIGN,
	CALL_VALLOC,
	CALL_PVALLOC,
	CALL_OP_MAX,
};

/*
 * In a caller: it is the number of a stack (EV_STACK), whose first frame is the
 * return address. Same value as WORD_STACK of probe/words.h.
 */
#define CALLER_STACK (1ull << 59)

enum call_phase {
	CALL_ALLOC = 1, /* returned `addr` (0: failed) for `size` bytes */
	CALL_FREED, /* free(addr), before the real one runs; addr may be 0 */
	CALL_REALLOC_ENTER, /* realloc of `addr` begins: the chunk is gone for now */
	CALL_REALLOC_RETURN, /* it returned `addr` for `size` bytes; 0 with size != 0: failed, the old one is alive again */
	CALL_LEAVE, /* the last CALL_FREED of this thread has returned */
};

struct event {
	enum event_kind kind;
	uint32_t tgid, tid; /* who did it; 0: kernel or unknown */
	uint64_t ts; /* CLOCK_MONOTONIC ns; for EV_CALL the stamp */
	uint64_t mm; /* id of the address space; 0 for EV_CALL (the tgid's current one) */
	union {
		struct {
			uint64_t parent_mm;
			enum mm_cause cause;
			bool sampled; /* its VMAs are told as seen now and then */
			uint32_t owner, parent; /* tgids */
			const char *comm; /* valid as long as the event */
		} mm_start;
		struct {
			uint64_t lo, hi;
			uint64_t args[6], ip, sp;
			uint64_t start_brk, brk, start_stack;
			struct rss rss;
			int32_t syscall; /* -1: none */
			uint32_t map_count;
			uint32_t coalesced;
			uint32_t flags; /* enum range_flag */
			uint32_t nr_vmas;
			const struct vma_desc
				*vmas; /* valid as long as the event */
		} range;
		struct {
			uint64_t ino;
			uint32_t dev;
			const char *path;
		} file;
		struct {
			struct rss rss;
			uint64_t hiwater_rss;
		} mm_exit;
		struct {
			uint32_t owner, parent;
		} task;
		struct {
			int32_t status; /* as wait(2) */
		} task_exit;
		struct {
			uint64_t addr, len;
			int32_t advice;
		} madvise;
		struct {
			uint64_t args[6];
			int32_t syscall, error; /* errno, positive */
			enum failed_reason reason;
			uint32_t map_count;
		} failed;
		struct {
			uint64_t addr, ip;
			int32_t syscall; /* -1: the program itself touched it */
			uint32_t flags; /* enum fault_flag */
		} fault;
		struct {
			uint32_t what, count; /* enum vmaheap_lost_what */
		} lost;
		struct {
			enum call_op op;
			enum call_phase phase;
			uint64_t addr, size;
			uint64_t align; /* 0: none asked for */
			uint64_t caller; /* return address, or a stack; 0: unknown */
			uint64_t begin; /* stamp at entry; 0: nothing happened inside */
		} call;
		struct {
			uint64_t count;
		} calls_lost;
		struct {
			/* Sampled for the VMAs as they were at event.ts. */
			const struct vma_resident *vmas;
			uint32_t nr_vmas;
		} resident;
		struct {
			const char *
				kind; /* "glibc", "jemalloc" ...; "": not one of those */
			/* That defines malloc; "": none does, and a kind is known by its books. */
			const char *file;
			/* malloc's settings in its environment (model.h); NULL: not known */
			const char *settings;
			bool is_static; /* there is no dynamic linker */
		} allocator;
		struct {
			uint32_t vmas, mismatches;
		} verify;
		struct {
			const struct found_chunk
				*chunks; /* valid as long as the event */
			uint32_t nr;
			uint32_t flags; /* enum found_flag */
		} found;
		struct {
			uint64_t id; /* with CALLER_STACK */
			/* Return addresses, innermost first; valid as long as the event. */
			const uint64_t *frames;
			uint32_t nr;
			bool truncated; /* who called the last one is not known */
		} stack;
		struct {
			uint64_t ino;
			uint32_t dev;
			uint32_t len; /* 0: the file has none */
			const uint8_t *bytes; /* valid as long as the event */
		} build_id;
	};
};

/*
 * EV_CALLs of one thread with one ts, as they come one after the other; each has
 * align and begin 0 and is no CALL_LEAVE. Nearly all events are such, so this
 * shorter form of them decides what an event costs.
 */
struct call_brief {
	uint64_t addr, size, caller;
	uint8_t op, phase; /* enum call_op, enum call_phase */
};

struct call_run {
	uint32_t tgid, tid;
	uint64_t ts;
	size_t nr;
	const struct call_brief *calls;
};

/*
 * Of EV_FOUND: in use, by the heap's own books. With FOUND_NOT in its size it may
 * not be: the looks contradict each other; in a walk: it is not any more.
 */
struct found_chunk {
	uint64_t addr,
		size; /* bytes that the program may use (glibc), or asked for (musl) */
};
#define FOUND_NOT (1ull << 63)

enum found_flag {
	FOUND_MORE = 1, /* of this look more follow */
	FOUND_WALK = 2, /* what came and went since the walk before */
	FOUND_UNREAD = 4, /* the heap could not be read: no chunks */
	FOUND_BEGIN = 8, /* a look is about to begin: no chunks */
};

/* Bytes of one VMA, from /proc/PID/pagemap. */
struct vma_resident {
	uint64_t start, end;
	uint64_t resident, swapped;
	uint64_t live_resident; /* of live chunks: bytes that lie on resident pages */
	uint64_t huge; /* of resident: in huge pages */
};

#endif
