/** Many things at once on one family: whatever the interleaving, no judge has anything to say. */
import { expect, test } from 'vitest';
import { openSession } from '../../src/debugger/open.ts';

const race = `
config memory=16M swap=1M
A: p = mmap(NULL, 16p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1, 16p)
A: B = fork()
A: C = fork()
B: store(p+3p, 4)
race {
  A: munmap(p+2p, 2p)
  A: q = mremap(p+8p, 4p, 4p, MREMAP_MAYMOVE|MREMAP_FIXED, p+64p)
  B: D = fork()
  B: store(p+5p, 7, 2p)
  C: mprotect(p+4p, 4p, PROT_READ)
  C: exit_group(0)
  kswapd: reclaim(A, p+5p)
  kswapd: reclaim(B, p+5p)
  kcompactd: migrate(B, p+9p)
  kcompactd: migrate(A, p+1p)
}
kernel: settle()
expect byte(B, p+5p) == 7
`;

// A VMA that a walk visited may be gone, and its slot another's, before the walk is judged.
test('fork, mremap, munmap, mprotect, exit, reclaim and migration leave no finding under 150 seeds', () => {
  for (let seed = 1; seed <= 150; seed++) {
    const session = openSession(race, { file: 'race.mm', seed, stopOnFinding: false });
    if ('errors' in session) throw session.errors[0];
    session.execute('continue');
    while (session.pump(1_000_000) === 'running');
    expect(session.findings(), `seed ${seed}`).toEqual([]);
    expect(session.failures, `seed ${seed}`).toBe(0);
  }
});
