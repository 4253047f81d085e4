/** The global variables of mm/ in 2.4.0. Fidelity: dup (names), custom (where they are). */
import { hasRoot, ROOT_EARLY24, rootAt, setRoot } from '../../roots.ts';
import { type early24_globals, early24_globals_cachep } from './early24_types.ts';

/** Made at the first use. */
export function early24Globals(): early24_globals {
  if (!hasRoot(ROOT_EARLY24)) {
    setRoot(ROOT_EARLY24, early24_globals_cachep.alloc());
  }
  return rootAt(ROOT_EARLY24) as early24_globals;
}
