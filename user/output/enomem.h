/* SPDX-License-Identifier: GPL-2.0 */
/* Why memory is refused, or will be. */
#ifndef OUTPUT_ENOMEM_H
#define OUTPUT_ENOMEM_H

#include "output/output.h"

#define LIMIT_NONE UINT64_MAX /* unlimited */

/* As they are now, of a process that lives. Bytes. */
struct enomem_limits {
	uint64_t max_map_count; /* VMAs; 0: not known */
	bool has_limits; /* the four below are known */
	uint64_t as, data; /* RLIMIT_AS, RLIMIT_DATA (soft) or LIMIT_NONE */
	uint64_t vm_size, vm_data; /* what counts against them */
	int overcommit; /* vm.overcommit_memory; -1: not known */
	uint64_t commit_limit, committed; /* of the machine */
};

/* `l` NULL: not known (a trace). 0 or -errno. */
int output_enomem(const struct output *o, const struct space *s,
		  const struct enomem_limits *l);

#endif
