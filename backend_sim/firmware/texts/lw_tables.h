/* Written by layerweaver export from $ORIGIN: what is known before the first request. $BYTES bytes in all. */
#ifndef LW_TABLES_H
#define LW_TABLES_H

#include <stdint.h>

#define LW_TENANTS $TENANTS
$MODELS
$TABLES
#endif
