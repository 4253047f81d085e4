/**
 * include/linux/swapops.h: swp_entry_t, the name of a swap slot: type << 24 | offset. 0 is no entry,
 * because slot 0 of an area is its header. Fidelity: custom (encoding).
 */
export type swp_entry_t = number;
export const swp_entry = (type: number, offset: number): swp_entry_t => type * 0x100_0000 + offset;
export const swp_type = (entry: swp_entry_t): number => Math.floor(entry / 0x100_0000);
export const swp_offset = (entry: swp_entry_t): number => entry % 0x100_0000;
