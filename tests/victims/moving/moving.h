/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VICTIMS_MOVING_H
#define VICTIMS_MOVING_H

#define MOVING_FD 100 /* below 1024, above what a victim opens */

#endif
