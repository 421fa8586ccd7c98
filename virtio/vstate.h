/* SPDX-License-Identifier: MIT */
/* The tables of saved state of virtio devices, for those who want all of them by name. */
#ifndef FERRY_VIRTIO_VSTATE_H
#define FERRY_VIRTIO_VSTATE_H

#include "migration/vstate.h"

/* Each stands beside the structure that it describes. */
extern const struct vstate_table virtio_pci_vstate; /* pci_state.c: any device */
extern const struct vstate_table vq_vstate;         /* pci_state.c: any queue */
extern const struct vstate_table blk_vstate;        /* blk_state.c */
extern const struct vstate_table overlay_vstate;    /* block/overlay_state.c */
extern const struct vstate_table net_vstate;        /* net_state.c */
extern const struct vstate_table rng_vstate;        /* rng.c */
extern const struct vstate_table balloon_vstate;    /* balloon.c */

#endif
