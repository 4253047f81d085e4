title    Selftest merge: a file's pages go away and come back
about    The moves of handle_uprobe_upon_merged_vma in tools/testing/selftests/mm/merge.c. There a uprobe in the file
about    made the kernel write an entry into a range whose tables were about to be moved. There are no uprobes
about    here: what is left is that both moves succeed, and that the VMAs are where they should be.
kernels  v6.18
config   memory=16M

A: c = mmap(NULL, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: fd = open("/tmp/foo", O_RDWR|O_CREAT, 0600)
A: ftruncate(fd, 1p)
A: mmap(c+1p, 10p, PROT_EXEC, MAP_PRIVATE|MAP_FIXED, fd, 0) = c+1p
A: mremap(c+1p, 1p, 2p, MREMAP_MAYMOVE|MREMAP_FIXED, c+6p) = c+6p
expect vma(A, c+1p) == NULL
expect vma(A, c+6p).start == c+6p && vma(A, c+6p).end == c+8p && vma(A, c+6p).vm_pgoff == 0
expect vma(A, c+2p).vm_pgoff == 1 && vma(A, c+8p).vm_pgoff == 7

# Back to where it fits: in front of the pages that follow it in the file.
A: mremap(c+6p, 1p, 1p, MREMAP_MAYMOVE|MREMAP_FIXED, c+1p) = c+1p
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+6p && vma(A, c+1p).vm_pgoff == 0
expect vma(A, c+7p).start == c+7p && vma(A, c+7p).end == c+8p && vma(A, c+7p).vm_pgoff == 1
