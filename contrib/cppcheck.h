/* What cppcheck does not read right by itself; it gets this before each file. */
#define PACKAGE_VERSION ""
#define __typeof__(x) struct any *
#define json_array_foreach(a, i, v) for (i = 0; (v = json_array_get(a, i)); i++)
#define json_object_foreach(o, k, v) for (k = first(o); (v = json_object_get(o, k)); k = next(o, k))
