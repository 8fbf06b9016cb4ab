/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hash -- FNV-1a, 64 bits: names things after their content.  Not a defence
 * against anyone; where equality matters the bytes themselves are compared. */
#ifndef ROOST_HASH_H
#define ROOST_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_START UINT64_C(0xcbf29ce484222325)

static inline uint64_t hash_add(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len-- > 0)
		hash = (hash ^ *p++) * UINT64_C(0x100000001b3);
	return hash;
}

#endif
