/**
 * What a lock word is called. The held stacks and the lock events carry the word address of a lock;
 * its lockdep class is the struct and field that contain it.
 */
import type { kernel } from '../../linux/kernel.ts';
import { vm_area_cachep } from '../../linux/mm_types.ts';
import { type Obj, ownerOf, structOf } from '../../sim/struct.ts';
import type { LockView } from '../view.ts';
import { kernelNow } from './objects.ts';

/** The object that contains a lock, or null for locks outside of structs. */
export function lockOwner(lock: number): Obj | null {
  return lock > 0 ? (ownerOf(lock)?.object ?? null) : null;
}

/** lockdep-style class of a lock: `mm_struct.mmap_lock`, in the words of the running kernel's time. */
export function lockClass(lock: number): string {
  const owner = lock > 0 ? ownerOf(lock) : null;
  if (owner === null) return 'lock';
  return eraClass(`${structOf(owner.object)?.name ?? '?'}.${owner.field.name}`);
}

/** What the people of a kernel's time, of the running one's, called a lock class or a wait: `mm_struct.mmap_sem`, `page lock`. */
export function eraClass(name: string, of: Partial<kernel> = kernelNow()): string {
  const { words } = of;
  if (words === undefined) return name;
  return name
    .replace('.mmap_lock', `.${words.mmap_lock}`)
    .replace('.i_mmap_rwsem', `.${words.i_mmap ?? 'i_mmap_rwsem'}`)
    .replace(/^folio\b/, words.folio);
}

/** What sort of lock a word is. */
export function lockKind(lock: number): LockView['kind'] {
  const owner = lock > 0 ? ownerOf(lock) : null;
  if (owner === null) return 'page';
  if (vm_area_cachep.isInstance(owner.object)) return 'vma';
  const kind = owner.field.kind;
  if (kind === 'rwsem' || kind === 'mutex') return kind;
  return 'spinlock';
}
