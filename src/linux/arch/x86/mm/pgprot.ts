/**
 * arch/x86/mm/pgprot.c v6.18: vm_page_prot of a combination of VM flags. A private writable mapping gets
 * the read-only form: the first write to each page must fault. Fidelity: dup (NX and keys left out).
 */
import { VM_ACCESS_FLAGS, VM_SHARED, VM_WRITE } from '../../../mm/mm.ts';
import { _PAGE_ACCESSED, _PAGE_PRESENT, _PAGE_PROTNONE, _PAGE_RW } from '../../../mm/pgtable.ts';

/** arch/x86/mm/pgprot.c: vm_get_page_prot() v6.18. */
export function vm_get_page_prot(vm_flags: number): number {
  if ((vm_flags & VM_ACCESS_FLAGS) === 0) {
    return _PAGE_PROTNONE | _PAGE_ACCESSED;
  }
  const shared_write = VM_SHARED | VM_WRITE;
  const rw = (vm_flags & shared_write) === shared_write ? _PAGE_RW : 0;
  return _PAGE_PRESENT | _PAGE_ACCESSED | rw;
}
