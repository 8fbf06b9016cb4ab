/* SPDX-License-Identifier: GPL-2.0-or-later */
/* code -- what err.code means in cni/: the error codes of the CNI specification
 * ("Error", codes 1 to 99 are the specification's, 100 and up the plugin's). */
#ifndef ROOST_CNI_CODE_H
#define ROOST_CNI_CODE_H

enum cni_code {
	CNI_VERSION = 1,      /* the configuration's cniVersion is not ours */
	CNI_UNSUPPORTED = 2,  /* a field asks for what this plugin does not do */
	CNI_ENVIRONMENT = 4,  /* a CNI_ variable is missing or wrong */
	CNI_IO = 5,	      /* a file could not be read or written */
	CNI_DECODE = 6,	      /* stdin is not the JSON it should be */
	CNI_CONFIG = 7,	      /* the configuration is wrong */
	CNI_NETNS = 8,	      /* CNI_NETNS is our own namespace (libcni's ErrInvalidNetNS) */
	CNI_TRY_LATER = 11,   /* nothing is wrong that time cannot mend */
	CNI_UNAVAILABLE = 50, /* STATUS: ADD would fail now */
	CNI_LIMITED = 51,     /* STATUS: and pods that run are affected, too (an IPAM plugin's) */
	CNI_EXISTS = 100,     /* this container already has this interface */
	CNI_KERNEL = 101,     /* the kernel refused */
	CNI_DIFFERS = 102,    /* CHECK: what is there is not what ADD made */
	CNI_DELEGATE = 103,   /* the IPAM plugin in ipam.type failed, or answered nonsense */
};

#endif
