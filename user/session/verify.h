/* SPDX-License-Identifier: GPL-2.0 */
/* The model against /proc/PID/maps, field by field. */
#ifndef SESSION_VERIFY_H
#define SESSION_VERIFY_H

#include <stdio.h>

#include "intake/proc.h"
#include "model/model.h"

/* Number of mismatches; each is printed in full to f. */
unsigned int verify_maps(const struct model *m, const struct space *s,
			 const struct proc_map *maps, size_t nr, FILE *f);

#endif
