/**
 * mapping->truncate_count (2.6.0 to 2.6.28): a fault that found its page before a truncation looks again. It is the
 * last word of invalidate_lock, a lock that these kernels do not have. Fidelity: dup.
 */
import { read_heap, write_heap } from '../../../sim/cpu.ts';
import type { address_space } from '../../mm_types.ts';

const UNUSED_WORD = 3;

export function truncate_count(mapping: address_space): number {
  return read_heap(mapping.invalidate_lock + UNUSED_WORD);
}

export function inc_truncate_count(mapping: address_space): void {
  write_heap(mapping.invalidate_lock + UNUSED_WORD, truncate_count(mapping) + 1);
}
