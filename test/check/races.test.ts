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

const ksmRace = `
config memory=16M swap=1M
A: p = mmap(NULL, 16p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: madvise(p, 16p, MADV_MERGEABLE)
A: store(p, 7, 6p)
A: store(p+8p, 9, 4p)
A: B = fork()
A: C = fork()
B: store(p+1p, 7)
ksmd: ksm_scan(2)
B: store(p+2p, 7, 2p)
C: store(p+9p, 7)
race {
  A: munmap(p+2p, 2p)
  A: store(p+9p, 7)
  A: q = mremap(p+8p, 4p, 4p, MREMAP_MAYMOVE|MREMAP_FIXED, p+64p)
  B: D = fork()
  B: madvise(p, 3p, MADV_UNMERGEABLE)
  B: store(p+5p, 7, 2p)
  C: store(p+8p, 3)
  C: exit_group(0)
  ksmd: ksm_scan(3)
  kswapd: reclaim(A, p+5p)
  kswapd: reclaim(B, p+4p)
  kcompactd: migrate(B, p+4p)
  kcompactd: migrate(A, p+1p)
}
kernel: settle()
ksmd: ksm_scan(2)
expect byte(B, p+5p) == 7
expect byte(A, p+1p) == 7
expect byte(A, p+64p+2p) == 9
`;

function expectNothingFound(text: string, seeds: number): void {
  for (let seed = 1; seed <= seeds; seed++) {
    const session = openSession(text, { file: 'race.mm', seed, stopOnFinding: false });
    if ('errors' in session) throw session.errors[0];
    session.execute('continue');
    while (session.pump(1_000_000) === 'running');
    expect(session.findings(), `seed ${seed}`).toEqual([]);
    expect(session.failures, `seed ${seed}`).toBe(0);
  }
}

// A VMA that a walk visited may be gone, and its slot another's, before the walk is judged.
test('fork, mremap, munmap, mprotect, exit, reclaim and migration leave no finding under 150 seeds', () => {
  expectNothingFound(race, 150);
});

test('ksmd among fork, mremap, munmap, exit, reclaim and migration leaves no finding under 100 seeds', () => {
  expectNothingFound(ksmRace, 100);
});
