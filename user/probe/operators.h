/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The forms of operator new and delete, by their names in the Itanium C++ ABI
 * (5.1.5.1): X(name, what it is).
 */
#ifndef PROBE_OPERATORS_H
#define PROBE_OPERATORS_H

#define NEWS(X)                             \
	X(_Znwm, NEW)                       \
	X(_Znam, NEW_ARRAY)                 \
	X(_ZnwmRKSt9nothrow_t, NEW_NOTHROW) \
	X(_ZnamRKSt9nothrow_t, NEW_ARRAY_NOTHROW)

#define ALIGNED_NEWS(X)                                            \
	X(_ZnwmSt11align_val_t, NEW_ALIGNED)                       \
	X(_ZnamSt11align_val_t, NEW_ARRAY_ALIGNED)                 \
	X(_ZnwmSt11align_val_tRKSt9nothrow_t, NEW_ALIGNED_NOTHROW) \
	X(_ZnamSt11align_val_tRKSt9nothrow_t, NEW_ARRAY_ALIGNED_NOTHROW)

/* Their further arguments are of no interest: size, alignment, nothrow. */
#define DELETES(X)                                                     \
	X(_ZdlPv, DELETE)                                              \
	X(_ZdaPv, DELETE_ARRAY)                                        \
	X(_ZdlPvm, DELETE_SIZED)                                       \
	X(_ZdaPvm, DELETE_ARRAY_SIZED)                                 \
	X(_ZdlPvRKSt9nothrow_t, DELETE_NOTHROW)                        \
	X(_ZdaPvRKSt9nothrow_t, DELETE_ARRAY_NOTHROW)                  \
	X(_ZdlPvSt11align_val_t, DELETE_ALIGNED)                       \
	X(_ZdaPvSt11align_val_t, DELETE_ARRAY_ALIGNED)                 \
	X(_ZdlPvmSt11align_val_t, DELETE_SIZED_ALIGNED)                \
	X(_ZdaPvmSt11align_val_t, DELETE_ARRAY_SIZED_ALIGNED)          \
	X(_ZdlPvSt11align_val_tRKSt9nothrow_t, DELETE_ALIGNED_NOTHROW) \
	X(_ZdaPvSt11align_val_tRKSt9nothrow_t, DELETE_ARRAY_ALIGNED_NOTHROW)

#endif
