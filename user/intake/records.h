/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The module's records (uapi/vmaheap.h) to events. They come from a socket or
 * from a file: hostile until decoded.
 */
#ifndef INTAKE_RECORDS_H
#define INTAKE_RECORDS_H

#include <stddef.h>

#include "model/event.h"

/*
 * In the flags of a MM record: it is not the module's but sampled.h's, and of its
 * address space nothing is known but what /proc/PID/maps listed now and then.
 */
#define RECORD_SAMPLED (1u << 15)

/* Hears of whole records. */
typedef void (*records_fn)(void *ctx, const void *records, size_t bytes);

/*
 * Decodes the record at `rec` (8-byte aligned), of which `bytes` are there.
 * Returns its size in bytes; ev->kind is 0 when its type is unknown (skip it).
 * -EINVAL: no record begins like this; the rest of the bytes is lost. Pointers
 * in *ev point into the record.
 */
long record_decode(const void *rec, size_t bytes, struct event *ev);

#endif
