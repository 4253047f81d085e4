/** How many page-table entries map a small page, as its kernel's reverse map counts them. Fidelity: custom. */
import { anon_rmap } from '../../kernel.ts';
import type { page } from '../../mm_types.ts';
import { pteChainEntries } from './pte_chain.ts';

export function mapcountOf(page: page): number {
  return anon_rmap().shape === 'pte_chain' ? pteChainEntries(page).length : page._mapcount + 1;
}
