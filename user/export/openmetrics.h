/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The state of living processes as OpenMetrics text (RFC-like specification of
 * prometheus/OpenMetrics 1.0; node_exporter's older parser reads it, too). How
 * many series there are is bounded: of the processes those that have the most
 * resident memory (or live, where that is not known) have their own, the others'
 * gauges are summed up under pid="other"; of arenas the first ones do.
 */
#ifndef EXPORT_OPENMETRICS_H
#define EXPORT_OPENMETRICS_H

#include <stdio.h>

#include "model/model.h"

#define OPENMETRICS_PROCESSES 20
#define OPENMETRICS_ARENAS 8

/* All of these models, as of `now` (CLOCK_MONOTONIC ns). 0 or -errno. */
int openmetrics_put(FILE *f, const struct model *const *models, size_t nr,
		    uint64_t now);

#endif
