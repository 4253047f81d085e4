title    Tour 8: two tasks at once
about    mprotect splits a VMA while a migration walk looks for the page. The root lock of the
about    anon_vma family decides who waits. :task NAME lets a task run next; :choices lists them.
kernels  v6.18 v2.6.36 v3.6 v5.19
config   memory=16M

A: p = mmap(NULL, 8p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p+2p, 7)
A: B = fork()

# The operations between the braces run concurrently: any statement of one may stand between any two of
# the other. Without a choice of yours they run one after the other. To mix them, step into mprotect (s),
# type :task kcompactd, step on; panes 2 and 7 show who holds what and who waits. :schedule prints what
# you did as one word, and `rmapdbg --schedule WORD FILE` does it again.
#
# While __split_vma() changes vm_start, vm_end and vm_pgoff, the VMA says nonsense about where its pages
# are. A walk in that moment would look at the wrong address, miss the entry, and migration would leave
# it behind. So vma_prepare() takes the root lock for write and takes the VMA out of the tree;
# the walk holds the same lock for read.
race {
  A: mprotect(p, 2p, PROT_READ)
  kcompactd: migrate(A, p+2p)
}

# Whatever the order: the same outcome.
expect vmas(A) == 2
expect vmas(B) == 1
expect mapcount(page(A, p+2p)) == 2
expect page(A, p+2p) == page(B, p+2p)
expect byte(B, p+2p) == 7
