/* SPDX-License-Identifier: GPL-2.0 */
/* Loading the kernel module, and what to do when that cannot be. */
#ifndef SESSION_MODULE_H
#define SESSION_MODULE_H

#include <stdbool.h>
#include <stdio.h>

bool module_loaded(void);
bool module_installed(void); /* modprobe finds one for this kernel */
/*
 * Loads the module when it is not loaded: the file in $VMAHEAP_KO, else
 * modprobe. 0: it was there; 1: loaded, module_unload() undoes it; -errno, and
 * *why is a malloc'ed sentence.
 */
int module_load(char **why);
int module_unload(void); /* 0 or -errno */

/*
 * Prints what is missing on this machine and what to do about each, one check a
 * line. Returns the number of problems.
 */
int doctor(FILE *f);

#endif
