title    The start of a VMA moves under a walk
about    April 2004: mprotect lets a VMA grow over the front of the next one, so the next one's vm_start and vm_pgoff
about    change one after the other. A walk that reads them in between computes an address that is wrong by the
about    length of the move and finds nothing there. Moving only vm_end is harmless; a moved start needs the lock of
about    the anon_vma, which Andrea Arcangeli's first form did not take.
kernels  v2.6.33 v2.6.5-aa v2.6.7 v2.6.36 v3.0 v3.7 v6.18
config   memory=16M

A: p = mmap(NULL, 8p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1, 8p)
A: mprotect(p, 2p, PROT_READ)
expect vmas(A) == 2

race {
  A: mprotect(p+2p, 2p, PROT_READ)
  kswapd: referenced(A, p+6p)
}
expect vmas(A) == 2
expect mapcount(page(A, p+6p)) == 1
