/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A whole model as bytes: what the time index of a trace is made of. They mean
 * something to this very program only (save_format()), and are hostile when they
 * are loaded.
 */
#ifndef MODEL_SAVE_H
#define MODEL_SAVE_H

#include "model/model.h"

/*
 * *buf is malloc'ed. 0; -EBUSY: an event waits for another thread's (life.h), as
 * it hardly ever does right after model_settle(); -ENOMEM.
 */
int model_save(const struct model *m, uint8_t **buf, size_t *len);
/* NULL and *err: -EINVAL, -ENOMEM. */
struct model *model_load(const uint8_t *buf, size_t len, int *err);
/* Differs between programs whose bytes are not each other's. */
uint64_t save_format(void);

#endif
