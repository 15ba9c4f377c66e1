// SPDX-License-Identifier: GPL-2.0
/*
 * Built twice (Makefile), with frames of two sizes: the same code but for one
 * number, so that its addresses are the same when it is loaded at the same place,
 * and lead on to another place on the stack.
 */
void plug(void (*take)(void));

void plug(void (*take)(void))
{
	volatile char room[FRAME];

	room[0] = 1;
	take();
	room[1] = room[0];
}
