/** How many page-table entries map a small page, as its kernel's reverse map counts them. Fidelity: custom. */
import { activeMachine } from '../../../sim/machine.ts';
import type { kernel } from '../../kernel.ts';
import type { page } from '../../mm_types.ts';
import { pteChainEntries } from './pte_chain.ts';

export function mapcountOf(page: page): number {
  // Views of a machine without a kernel ask too.
  const scheme = (activeMachine().config.kernel as Partial<kernel> | null)?.anon_rmap;
  return scheme?.shape === 'pte_chain' ? pteChainEntries(page).length : page._mapcount + 1;
}
