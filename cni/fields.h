/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fields -- typed reading of JSON objects.
 *
 * Every getter leaves its target alone when the key is absent or null, so that the
 * caller's default stays: Go's decoder takes null for "absent", and the runtimes
 * that write it do, too.  A wrong type is CNI_DECODE, a wrong value CNI_CONFIG, and
 * both name the path ("ipam.ranges[0][1].subnet"). */
#ifndef ROOST_CNI_FIELDS_H
#define ROOST_CNI_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/prefix.h"
#include "code.h"

#define FIELDS_DEPTH_MAX 64

/* A JSON object and what to call it in a message. */
struct fields {
	json_t *json; /* NULL: absent, nothing is in it */
	const char *path;
};

/* The document, a new reference, or NULL: no JSON, nested too deep, a key twice, a
 * NUL, or a number that does not fit. */
json_t *fields_parse(const char *bytes, size_t len, struct err *err);

/* The raw value, NULL when absent or null. */
json_t *field_get(const struct fields *fields, const char *key);

int field_get_string(
	const struct fields *fields, const char *key, const char **text, struct err *err);
int field_get_bool(const struct fields *fields, const char *key, bool *flag, struct err *err);
int field_get_number(const struct fields *fields, const char *key, int64_t min, int64_t max,
	int64_t *number, struct err *err);
int field_get_u32(const struct fields *fields, const char *key, uint32_t *number, struct err *err);
int field_get_addr(
	const struct fields *fields, const char *key, struct addr *addr, struct err *err);
int field_get_prefix(const struct fields *fields, const char *key, struct prefix *prefix,
	struct err *err); /* must be there */

/* An object or array inside; json is NULL when it is absent. */
int field_get_object(const struct fields *fields, const char *key, struct arena *mem,
	struct fields *inner, struct err *err);
int field_get_array(const struct fields *fields, const char *key, size_t limit, json_t **array,
	struct err *err);

/* Element i of an array, which must be an object; `path` is the array's. */
int field_get_element(json_t *array, size_t i, const char *path, struct arena *mem,
	struct fields *element, struct err *err);

/* Refuses a key that differs from a known one only by case.  `known` ends with NULL. */
int field_check_spelling(const struct fields *fields, const char *const known[], struct err *err);

/* "path.key: what", returns -1.  With key "" the object itself is meant. */
int field_wrong(const struct fields *fields, const char *key, enum cni_code code, struct err *err,
	const char *what);

#endif
