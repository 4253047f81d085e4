title    Tour 5: out to swap and back, and whose page was it?
about    Reclaim finds every mapping of a shared page, replaces it by a swap entry, and frees the page.
about    What comes back has forgotten its anon_vma. :break rmap:walk_visit, then look at pane 5.
kernels  v6.18 v2.6.36 v3.6 v5.19
config   memory=16M swap=1M

A: p = mmap(NULL, 2p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 42)
A: B = fork()
expect pte(A, p).young

# Reclaim looks first and finds the accessed bit set: the page is in use. The walk clears the bits, and
# the page gets a second chance.
kernel: reclaim(A, p)
expect pte(A, p).present && !pte(A, p).young

# Nobody used it since. Now try_to_unmap() walks again: each entry becomes a swap entry, the slot counts
# its users, and with the last mapping gone the page is written out and freed.
kernel: reclaim(A, p)
expect pte(A, p).swap && pte(B, p).swap
expect pte(A, p).value == pte(B, p).value
expect rss(A) == 0 && rss(B) == 0

# The child reads first. do_swap_page() has the slot's content, but the page that knew its anon_vma is
# gone. The parent's, or the child's? Only at the root will a walk find both, so that is where it goes.
B: load(p) = 42
expect anon_vma(page(B, p)) == anon_vma(B, p).root
expect anon_vma(page(B, p)) != anon_vma(B, p)
expect mapcount(page(B, p)) == 1

# The parent's entry still names the slot; the fault finds the page in the swap cache and shares it.
expect pte(A, p).swap
A: load(p) = 42
expect page(A, p) == page(B, p)
expect mapcount(page(A, p)) == 2

# Copy on write goes on as if nothing had happened.
A: store(p, 1)
expect byte(A, p) == 1 && byte(B, p) == 42
