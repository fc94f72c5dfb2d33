import { expect, test } from 'vitest';
import { CASES, ON_POSTGRES, peersOf } from './cases.ts';
import { figuresOf } from './figures.ts';
import type { PeerName } from './peers.ts';
import { percentile, short, table } from './report.ts';
import { type Round, missing, playRound } from './round.ts';
import { CASE_MS, ROUNDS } from './rounds.ts';

const NAMED = CASES.map((spec) => [spec.name, spec.says, spec] as const);

test.for(NAMED)('[J6] %s: %s', { timeout: CASE_MS }, async ([, , spec], { task }) => {
  const { workload, workers = 1, aim, isOnce = false } = spec;
  const rounds: Round[] = [];
  const broken = new Map<PeerName, string>();
  // In turn, so that whatever else the machine does meets all.
  for (let round = 0; round < (isOnce ? 1 : ROUNDS); round += 1)
    for (const peer of peersOf(spec).filter((name) => !broken.has(name)))
      await playRound(peer, workload, { workers }).then(
        (played) => rounds.push(played),
        (error: unknown) => broken.set(peer, String(error)),
      );
  const notes = [...broken].map(
    ([peer, error]) => `What ${peer} was given it did not bear: ${error.split('\n')[0]}`,
  );
  task.meta.report = [`Aimed at, as ratios to stock: ${aim}.`, ...notes, figuresOf(rounds)].join('\n\n');
  expect(broken.get('ours')).toBeUndefined();
  expect(rounds.filter(({ peer }) => peer === 'ours').flatMap(missing)).toEqual([]);
});

const RATES = [1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 8_000, 10_000];
const PATIENCE_MS = 100;

test(
  '[J7] acks: edits a second in 100 documents × 2 people until the p99 of acks has passed 100 ms twice',
  { timeout: CASE_MS },
  async ({ task }) => {
    const rounds: Round[] = [];
    const rows: string[][] = [];
    const over: PeerName[] = [];
    for (const rate of RATES)
      // Not after the first time: a disk has its moments.
      for (const peer of ON_POSTGRES.filter((name) => over.filter((other) => other === name).length < 2)) {
        const crowd = { documents: 100, people: 2, rate: rate / 100 };
        const round = await playRound(peer, { crowds: [crowd], seconds: 5 });
        const { acks, arrivals } = round.all;
        const p99 = percentile(acks, 0.99);
        if (p99 > PATIENCE_MS) over.push(peer);
        const others = [percentile(arrivals, 0.99), percentile(round.late, 0.99)].map(short);
        rounds.push(round);
        rows.push([short(rate), peer, short(p99), ...others]);
      }
    const head = ['edits a second', '', 'ack, p99, ms', 'edit, p99, ms', 'the load was late, p99, ms'];
    task.meta.report = `Aimed at: 5,000. An ack of ours is a commit; of stock it is the frame’s arrival.\n\n${table(head, rows)}`;
    expect(rounds.filter(({ peer }) => peer === 'ours').flatMap(missing)).toEqual([]);
  },
);
