title    Tour 4: a page moves, and everybody follows
about    Migration replaces each mapping by a migration entry, copies the page, and puts the new one in.
about    Both passes are reverse-map walks. :break migrate:* stops at each entry; select p in pane 5.
kernels  v6.18 v2.6.33 v2.6.34 v2.6.36 v3.6 v5.19
config   memory=16M

A: p = mmap(NULL, 4p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 42)
A: B = fork()
A: C = fork()
expect mapcount(page(A, p)) == 3
print page(A, p)

# 1. try_to_migrate(): the walk takes the page out of every page table and leaves a migration entry. A
#    task that touches the page now waits; it does not get a stale one. It must find every mapping:
#    one that is missed goes on writing to the old frame.
# 2. With no mapping left, and no other reference, the content is copied.
# 3. remove_migration_ptes(): a second walk, of the new page, finds the same VMAs and puts it in. It must
#    find every entry: one that is left behind makes its task wait for ever.
# Between the two walks the anon_vma must not change under them: that is what its root lock is for.
kcompactd: migrate(A, p)
print page(A, p)
expect mapcount(page(A, p)) == 3
expect page(A, p) == page(B, p)
expect page(A, p) == page(C, p)
expect !pte(A, p).migration
expect anon_vma(page(A, p)) == anon_vma(A, p)
expect byte(C, p) == 42
