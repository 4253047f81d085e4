/** include/linux/gfp_types.h v6.18: what an allocation may do. Fidelity: dup (names and meaning), custom (numbers). */

export const __GFP_DIRECT_RECLAIM = 1 << 0;
export const __GFP_KSWAPD_RECLAIM = 1 << 1;
export const __GFP_ZERO = 1 << 2;
export const __GFP_NORETRY = 1 << 3;
export const __GFP_RETRY_MAYFAIL = 1 << 4;
export const __GFP_RECLAIM = __GFP_DIRECT_RECLAIM | __GFP_KSWAPD_RECLAIM;

/** Movable memory of user space. */
export const GFP_HIGHUSER_MOVABLE = __GFP_RECLAIM;
/** GFP_TRANSHUGE: with direct reclaim; and __GFP_NORETRY as faults add it. */
export const GFP_TRANSHUGE = __GFP_DIRECT_RECLAIM;
