/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What jemalloc (manual page of 5.3), tcmalloc (gperftools 2.10, tcmalloc.h) and
 * mimalloc (2.0.9, mimalloc.h) call their functions besides the names of C and C++.
 *
 * Some of these are the same code by another name, so that what is hooked by its
 * address (a uprobe) sees both; what is hooked by its name does not. In Debian 12:
 *
 *   tcmalloc   every tc_ name shares its address with the function of C or C++ that
 *              it is named after, but for tc_malloc_skip_new_handler (and
 *              tc_free_sized in its debugging library)
 *   mimalloc   mi_malloc, mi_calloc, mi_realloc, mi_free with those of C; mi_new
 *              with new and new[], mi_new_aligned with both aligned ones, mi_free with
 *              delete and delete[], mi_free_size with both sized ones; the others
 *              are code of their own, and memalign and its kind jump to theirs
 *   jemalloc   none; through its PLT aligned new calls aligned_alloc, delete free,
 *              sized aligned delete sdallocx; new and sized delete call nobody
 *
 * The arguments are a, b, c, d, as integers; product() is of whoever includes this.
 */
#ifndef PROBE_NAMES_H
#define PROBE_NAMES_H

/* One of each library, by which it is known to be there. */
#define NAMES_MARKS                                 \
	{                                           \
		"mallocx", "tc_malloc", "mi_malloc" \
	}

/* flags of mallocx(): the logarithm of the alignment, and "zeroed" */
#define MALLOCX_ALIGNMENT(flags) \
	((flags)&63 ? (__typeof__(flags))1 << ((flags)&63) : 0)
#define MALLOCX_ZEROED 64

/* X(name, is it zeroed, size, alignment or 0): returns the chunk */
#define NAMES_ALLOC(X)                                         \
	X(mallocx, b &MALLOCX_ZEROED, a, MALLOCX_ALIGNMENT(b)) \
	X(tc_malloc, 0, a, 0)                                  \
	X(tc_malloc_skip_new_handler, 0, a, 0)                 \
	X(tc_calloc, 1, product(a, b), 0)                      \
	X(tc_memalign, 0, b, a)                                \
	X(tc_valloc, 0, a, 4096)                               \
	X(tc_pvalloc, 0, a, 4096)                              \
	X(tc_new_nothrow, 0, a, 0)                             \
	X(tc_newarray_nothrow, 0, a, 0)                        \
	X(tc_new_aligned_nothrow, 0, a, b)                     \
	X(tc_newarray_aligned_nothrow, 0, a, b)                \
	X(mi_malloc, 0, a, 0)                                  \
	X(mi_malloc_small, 0, a, 0)                            \
	X(mi_zalloc, 1, a, 0)                                  \
	X(mi_zalloc_small, 1, a, 0)                            \
	X(mi_calloc, 1, product(a, b), 0)                      \
	X(mi_mallocn, 0, product(a, b), 0)                     \
	X(mi_valloc, 0, a, 4096)                               \
	X(mi_pvalloc, 0, a, 4096)                              \
	X(mi_memalign, 0, b, a)                                \
	X(mi_aligned_alloc, 0, b, a)                           \
	X(mi_malloc_aligned, 0, a, b)                          \
	X(mi_malloc_aligned_at, 0, a, b)                       \
	X(mi_zalloc_aligned, 1, a, b)                          \
	X(mi_zalloc_aligned_at, 1, a, b)                       \
	X(mi_calloc_aligned, 1, product(a, b), c)              \
	X(mi_calloc_aligned_at, 1, product(a, b), c)           \
	X(mi_new_nothrow, 0, a, 0)                             \
	X(mi_new_aligned_nothrow, 0, a, b)                     \
	X(mi_heap_malloc, 0, b, 0)                             \
	X(mi_heap_malloc_small, 0, b, 0)                       \
	X(mi_heap_zalloc, 1, b, 0)                             \
	X(mi_heap_calloc, 1, product(b, c), 0)                 \
	X(mi_heap_mallocn, 0, product(b, c), 0)                \
	X(mi_heap_malloc_aligned, 0, b, c)                     \
	X(mi_heap_malloc_aligned_at, 0, b, c)                  \
	X(mi_heap_zalloc_aligned, 1, b, c)                     \
	X(mi_heap_zalloc_aligned_at, 1, b, c)                  \
	X(mi_heap_calloc_aligned, 1, product(b, c), d)         \
	X(mi_heap_calloc_aligned_at, 1, product(b, c), d)

/* X(name, one that does the same but does not throw, and as above) */
#define NAMES_THROWING_ALLOC(X)                                      \
	X(tc_new, tc_new_nothrow, 0, a, 0)                           \
	X(tc_newarray, tc_newarray_nothrow, 0, a, 0)                 \
	X(tc_new_aligned, tc_new_aligned_nothrow, 0, a, b)           \
	X(tc_newarray_aligned, tc_newarray_aligned_nothrow, 0, a, b) \
	X(mi_new, mi_new_nothrow, 0, a, 0)                           \
	X(mi_new_n, mi_mallocn, 0, product(a, b), 0)                 \
	X(mi_new_aligned, mi_new_aligned_nothrow, 0, a, b)           \
	X(mi_heap_alloc_new, mi_heap_malloc, 0, b, 0)                \
	X(mi_heap_alloc_new_n, mi_heap_mallocn, 0, product(b, c), 0)

/* X(name): as posix_memalign() */
#define NAMES_POSIX_MEMALIGN(X) \
	X(tc_posix_memalign)    \
	X(mi_posix_memalign)

/* X(name, buffer or 0): returns a string in a new chunk, or the caller's buffer */
#define NAMES_STRING(X)       \
	X(mi_strdup, 0)       \
	X(mi_strndup, 0)      \
	X(mi_mbsdup, 0)       \
	X(mi_realpath, b)     \
	X(mi_heap_strdup, 0)  \
	X(mi_heap_strndup, 0) \
	X(mi_heap_realpath, c)

/* X(name, chunk, size): returns the chunk's new address; NULL: it is as it was */
#define NAMES_REALLOC(X)                                \
	X(rallocx, a, b)                                \
	X(tc_realloc, a, b)                             \
	X(mi_realloc, a, b)                             \
	X(mi_reallocf, a, b)                            \
	X(mi_rezalloc, a, b)                            \
	X(mi_expand, a, b)                              \
	X(mi__expand, a, b)                             \
	X(mi_reallocn, a, product(b, c))                \
	X(mi_recalloc, a, product(b, c))                \
	X(mi_reallocarray, a, product(b, c))            \
	X(mi_realloc_aligned, a, b)                     \
	X(mi_realloc_aligned_at, a, b)                  \
	X(mi_rezalloc_aligned, a, b)                    \
	X(mi_rezalloc_aligned_at, a, b)                 \
	X(mi_recalloc_aligned, a, product(b, c))        \
	X(mi_recalloc_aligned_at, a, product(b, c))     \
	X(mi_aligned_recalloc, a, product(b, c))        \
	X(mi_aligned_offset_recalloc, a, product(b, c)) \
	X(mi_heap_realloc, b, c)                        \
	X(mi_heap_reallocf, b, c)                       \
	X(mi_heap_rezalloc, b, c)                       \
	X(mi_heap_reallocn, b, product(c, d))           \
	X(mi_heap_recalloc, b, product(c, d))           \
	X(mi_heap_realloc_aligned, b, c)                \
	X(mi_heap_realloc_aligned_at, b, c)             \
	X(mi_heap_rezalloc_aligned, b, c)               \
	X(mi_heap_rezalloc_aligned_at, b, c)            \
	X(mi_heap_recalloc_aligned, b, product(c, d))   \
	X(mi_heap_recalloc_aligned_at, b, product(c, d))

#define NAMES_THROWING_REALLOC(X)           \
	X(mi_new_realloc, mi_realloc, a, b) \
	X(mi_new_reallocn, mi_reallocn, a, product(b, c))

/* X(name): xallocx(chunk, size, extra, flags), in place; returns the size that it has */
#define NAMES_XALLOCX(X) X(xallocx)

/* X(name): the chunk is a */
#define NAMES_FREE(X)                     \
	X(dallocx)                        \
	X(sdallocx)                       \
	X(tc_free)                        \
	X(tc_cfree)                       \
	X(tc_free_sized)                  \
	X(tc_delete)                      \
	X(tc_delete_sized)                \
	X(tc_delete_nothrow)              \
	X(tc_delete_aligned)              \
	X(tc_delete_sized_aligned)        \
	X(tc_delete_aligned_nothrow)      \
	X(tc_deletearray)                 \
	X(tc_deletearray_sized)           \
	X(tc_deletearray_nothrow)         \
	X(tc_deletearray_aligned)         \
	X(tc_deletearray_sized_aligned)   \
	X(tc_deletearray_aligned_nothrow) \
	X(mi_free)                        \
	X(mi_cfree)                       \
	X(mi_free_size)                   \
	X(mi_free_aligned)                \
	X(mi_free_size_aligned)

/*
 * X(name): frees chunks that it does not name. Which, only the library knows, so
 * this is told as a loss.
 */
#define NAMES_DROP(X) X(mi_heap_destroy)

#define NAMES(X)                  \
	NAMES_ALLOC(X)            \
	NAMES_THROWING_ALLOC(X)   \
	NAMES_POSIX_MEMALIGN(X)   \
	NAMES_STRING(X)           \
	NAMES_REALLOC(X)          \
	NAMES_THROWING_REALLOC(X) \
	NAMES_XALLOCX(X)          \
	NAMES_FREE(X)             \
	NAMES_DROP(X)

#endif
