title    One lock for the whole family
about    May 2010: locking each anon_vma of the chain, or the root for all? With the root's lock a walk excludes every
about    change of bounds in the family; the price is that relatives which share no page wait for one another. Without it
about    (v2.6.34) some interleavings end in a BUG: migration puts a page back where the VMA no longer is.
kernels  v2.6.36 v2.6.34 v3.0 v3.7 v3.18 v6.18
config   memory=16M seed=5
param    N=6

A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1, 4p)
repeat i = 1..N {
  A: C{i} = fork()
  C{i}: store(p, i, 4p)
}

# Each child works on pages that nobody else has: mprotect cuts its VMA, reclaim looks at its page.
race {
  repeat i = 1..N {
    C{i}: mprotect(p, 1p, PROT_READ)
    C{i}: mprotect(p+2p, 1p, PROT_READ)
    C{i}: munmap(p, 1p)
  }
  kswapd: referenced(C1, p+3p)
  kcompactd: migrate(C2, p+3p)
}
expect vmas(C1) == 3
