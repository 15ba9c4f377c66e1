// SPDX-License-Identifier: GPL-2.0
/*
 * One window of 1 MiB: its page table bits are read first, then its resident pages
 * as they are asked for, twice as many in a call as in the one before while they
 * are asked for in a row. (Of chunks of many pages only the headers are wanted: 160 MB
 * of R's vectors took 85 ms, in whole windows, and take 18.) That the window is one
 * is no loss: heaps are read from their beginning to their end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "intake/memory.h"
#include "intake/proc.h"
#include "model/page.h"

#define PAGE 4096ull
#define WINDOW (1ull << 20)
#define PAGES (WINDOW / PAGE)
#define HUGE (2ull << 20)
#define EACH 1024 /* UIO_MAXIOV, include/uapi/linux/uio.h */
#define BITS 65536 /* pagemap entries at once */

struct memory {
	uint32_t pid;
	int pagemap; /* -1: page tables cannot be read, all pages are read */
	int mem; /* /proc/PID/mem, where process_vm_readv is not allowed */
	bool by_mem;
	uint64_t window; /* address; UINT64_MAX: none */
	uint8_t state[PAGES];
	uint64_t expected; /* the page behind what was fetched last */
	size_t ahead; /* pages of that */
	uint8_t *data;
	uint64_t bits_at; /* first page of `bits`, as address */
	size_t nr_bits;
	uint64_t *bits;
	uint64_t huge_at; /* the last well-aligned 2 MiB that were asked for */
	bool huge;
};
/* UNREAD: swapped, or nothing is known of it. */
enum { UNREAD, PRESENT, ABSENT, READ };

static int open_proc(uint32_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, file);
	return open(path, O_RDONLY | O_CLOEXEC);
}

struct memory *memory_open(uint32_t pid)
{
	struct memory *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->pid = pid = proc_number(pid);
	m->pagemap = open_proc(pid, "pagemap");
	m->mem = open_proc(pid, "mem");
	m->data = malloc(WINDOW);
	m->bits = malloc(BITS * 8);
	memory_forget(m);
	if (m->data && m->bits)
		return m;
	memory_close(m);
	return NULL;
}

void memory_close(struct memory *m)
{
	if (!m)
		return;
	if (m->pagemap >= 0)
		close(m->pagemap);
	if (m->mem >= 0)
		close(m->mem);
	free(m->data);
	free(m->bits);
	free(m);
}

void memory_forget(struct memory *m)
{
	m->window = UINT64_MAX;
	m->expected = UINT64_MAX;
	m->nr_bits = 0;
	m->huge_at = UINT64_MAX;
}

/* 0 or -errno; a part is -EFAULT. */
static int fetch(struct memory *m, uint64_t addr, void *to, size_t len)
{
	struct iovec local = { to, len }, remote = { (void *)addr, len };
	ssize_t n = -1;

	if (!m->by_mem) {
		n = process_vm_readv((pid_t)m->pid, &local, 1, &remote, 1, 0);
		if (n < 0 && (errno == EPERM || errno == ENOSYS) && m->mem >= 0)
			m->by_mem = true; /* seccomp, or an old kernel */
	}
	if (m->by_mem)
		n = pread(m->mem, to, len, (off_t)addr);
	if (n < 0)
		return errno == EIO ? -EFAULT : -errno;
	return (size_t)n == len ? 0 : -EFAULT;
}

static bool page_bits(struct memory *m, uint64_t addr, uint64_t *bits,
		      size_t nr)
{
	ssize_t want = (ssize_t)(nr * 8);

	return m->pagemap >= 0 && pread(m->pagemap, bits, nr * 8,
					(off_t)(addr / PAGE * 8)) == want;
}

static void open_window(struct memory *m, uint64_t addr)
{
	uint64_t bits[PAGES];
	size_t i;

	m->window = addr & ~(WINDOW - 1);
	memset(m->state, UNREAD, sizeof(m->state));
	if (!page_bits(m, m->window, bits, PAGES))
		return;
	for (i = 0; i < PAGES; i++)
		if (!(bits[i] & PAGEMAP_SWAPPED))
			m->state[i] = bits[i] & PAGEMAP_PRESENT ? PRESENT :
								  ABSENT;
}

/* Pages from the i-th of the window on that are to be read in one call. */
static size_t run_at(struct memory *m, size_t i)
{
	size_t nr = 1;

	m->ahead = m->expected == m->window + i * PAGE ? 2 * m->ahead : 1;
	if (m->ahead > PAGES)
		m->ahead = PAGES;
	while (nr < m->ahead && i + nr < PAGES && m->state[i] == PRESENT &&
	       m->state[i + nr] == PRESENT)
		nr++;
	m->expected = m->window + (i + nr) * PAGE;
	return nr;
}

/* With those behind it, unless one of them is not mapped any more. */
static int fetch_page(struct memory *m, size_t i)
{
	uint8_t *to = m->data + i * PAGE;
	size_t nr = run_at(m, i);
	int err = 0;

	if (m->state[i] == ABSENT)
		memset(to, 0, PAGE);
	else
		err = fetch(m, m->window + i * PAGE, to, nr * PAGE);
	if (err && nr > 1) {
		nr = 1;
		err = fetch(m, m->window + i * PAGE, to, PAGE);
	}
	if (!err)
		memset(m->state + i, READ, nr);
	return err;
}

static int read_page(struct memory *m, uint64_t addr, uint8_t **data)
{
	size_t i;
	int err;

	if (m->window != (addr & ~(WINDOW - 1)))
		open_window(m, addr);
	i = (addr - m->window) / PAGE;
	if (m->state[i] != READ) {
		err = fetch_page(m, i);
		if (err)
			return err;
	}
	*data = m->data + (addr - m->window);
	return 0;
}

int memory_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	struct memory *m = ctx;
	uint8_t *to = buf, *data;

	while (len) {
		size_t n = PAGE - addr % PAGE < len ? PAGE - addr % PAGE : len;
		int err = read_page(m, addr, &data);

		if (err)
			return err;
		memcpy(to, data, n);
		to += n;
		addr += n;
		len -= n;
	}
	return 0;
}

/* What was read up to a page that is not mapped; 0 as well where that is the first one. */
static size_t fetch_each(struct memory *m, const uint64_t *addrs, size_t nr,
			 uint64_t (*words)[2])
{
	struct iovec local = { words, nr * sizeof(*words) }, remote[EACH];
	ssize_t n;
	size_t i;

	for (i = 0; i < nr; i++)
		remote[i] = (struct iovec){ (void *)addrs[i], sizeof(*words) };
	n = process_vm_readv((pid_t)m->pid, &local, 1, remote, nr, 0);
	return n < 0 ? 0 : (size_t)n / sizeof(*words);
}

void memory_read_each(void *ctx, const uint64_t *addrs, size_t nr,
		      uint64_t (*words)[2])
{
	struct memory *m = ctx;
	size_t done;

	while (nr) {
		done = m->by_mem ? 0 :
				   fetch_each(m, addrs, nr < EACH ? nr : EACH,
					      words);
		if (!done) {
			if (fetch(m, addrs[0], words[0], sizeof(words[0])))
				words[0][0] = words[0][1] = 0;
			done = 1;
		}
		addrs += done;
		words += done;
		nr -= done;
	}
}

/* The page table bits of the page at addr, with those that follow. */
static int get_bits(struct memory *m, uint64_t addr, uint64_t *bits)
{
	ssize_t n;

	addr &= ~(PAGE - 1);
	if (addr < m->bits_at || addr - m->bits_at >= m->nr_bits * PAGE) {
		n = m->pagemap < 0 ? -1 :
				     pread(m->pagemap, m->bits, BITS * 8,
					   (off_t)(addr / PAGE * 8));
		m->nr_bits = 0;
		if (n < 8)
			return n < 0 ? -errno : -EFAULT;
		m->bits_at = addr;
		m->nr_bits = (size_t)n / 8;
	}
	*bits = m->bits[(addr - m->bits_at) / PAGE];
	return 0;
}

uint64_t memory_next(void *ctx, uint64_t addr, uint64_t end)
{
	uint64_t bits;

	for (addr &= ~(PAGE - 1); addr < end; addr += PAGE)
		if (get_bits(ctx, addr, &bits) ||
		    bits & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED))
			return addr;
	return end;
}

int64_t memory_resident(void *ctx, uint64_t lo, uint64_t hi)
{
	int64_t bytes = 0;
	uint64_t bits;
	int err;

	for (lo &= ~(PAGE - 1); lo < hi; lo += PAGE) {
		err = get_bits(ctx, lo, &bits);
		if (err)
			return err;
		if (proc_entry_resident(bits, 0))
			bytes += PAGE;
	}
	return bytes;
}

static bool is_huge(struct memory *m, uint64_t addr)
{
	addr &= ~(HUGE - 1);
	if (m->huge_at != addr)
		m->huge = proc_is_huge(m->pagemap, addr) > 0;
	m->huge_at = addr;
	return m->huge;
}

static bool is_zeroes(struct memory *m, uint64_t addr)
{
	uint8_t *data;

	addr &= ~(PAGE - 1);
	return !read_page(m, addr, &data) && !*data &&
	       !memcmp(data, data + 1, PAGE - 1);
}

int memory_page(void *ctx, uint64_t addr)
{
	struct memory *m = ctx;
	uint64_t bits;
	int is = get_bits(m, addr, &bits);

	if (is)
		return is;
	if (bits & PAGEMAP_PRESENT) {
		if (!proc_entry_resident(bits, 0))
			return 0;
		is = PAGE_IS_RESIDENT;
		if (is_huge(m, addr))
			is |= PAGE_IS_HUGE |
			      (is_zeroes(m, addr) ? PAGE_IS_SPARE : 0);
		return is;
	}
	return proc_entry_swapped(bits) ? PAGE_IS_SWAPPED : 0;
}
