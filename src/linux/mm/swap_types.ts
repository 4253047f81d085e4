/** include/linux/swap.h v6.18: struct swap_info_struct. Fidelity: custom (see mm/swapfile.ts). */
import { type Obj, struct } from '../../sim/struct.ts';

export interface swap_info_struct extends Obj {
  /** SWP_* bits. */
  flags: number;
  /** Slots, the header slot 0 included. */
  max: number;
  /** Usable slots, and those in use. */
  pages: number;
  inuse_pages: number;
  /** Where the search for a free slot begins. */
  cluster_next: number;
  /**
   * Table numbers of directories with one entry for each 512 slots: use counts, swap cache (pfn + 1) and
   * the contents on the device.
   */
  swap_map: number;
  swap_cache: number;
  contents: number;
  /**
   * 1: a disk, whose writes are still under way when reclaim looks at the folio again, so that it stays in the
   * swap cache; 0: a ramdisk, which has written when the call returns.
   */
  disk: number;
}

export const swap_info_cachep = struct<swap_info_struct>('swap_info_struct', {
  flags: 'n',
  max: 'n',
  pages: 'n',
  inuse_pages: 'n',
  cluster_next: 'n',
  swap_map: 'n',
  swap_cache: 'n',
  contents: 'n',
  disk: 'n',
});
