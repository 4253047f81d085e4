title    Tour 4: two tasks at once
about    mprotect splits a VMA while a migration walk looks for the page. The root lock of the
about    anon_vma family decides who waits. :task NAME lets a task run next; :choices lists them.
kernels  v6.18
config   memory=16M

A: p = mmap(NULL, 8p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p+2p, 7)
A: B = fork()
race {
  A: mprotect(p, 2p, PROT_READ)
  kcompactd: migrate(A, p+2p)
}
expect vmas(A) == 2
expect vmas(B) == 1
expect mapcount(page(A, p+2p)) == 2
expect byte(B, p+2p) == 7
