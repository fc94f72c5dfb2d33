import { expect, test } from 'vitest';
import { compare } from './comparison.ts';

const HEAD =
  '| | ours | stock | floor | ours / stock | ours / floor |\n| --- | --: | --: | --: | --: | --: |';

test('[J9] a run is compared with RESULTS.md by its ratios to the floor, or to stock where the floor has none', () => {
  const before = `
## J1: two instances: with another table

| 2 rounds | ours |
| --- | --: |
| CPU | 3 |

## J6: pairs: 200 documents

${HEAD}
| CPU, µs per edit | 90 (80–95) | 120 | 40 | 0.75 | 2.25 |
| ack, p50, ms | 4 | 3 | – | 2 | – |`;
  const now = before.replace('2.25', '4.5').replace('| 2 | – |', '| 1 | – |');
  expect(compare(before, now).split('\n').slice(2)).toEqual([
    '| J6: pairs | CPU, µs per edit | 2.25 | 4.5 | 2 |',
    '| J6: pairs | ack, p50, ms | 2 | 1 | 0.5 |',
  ]);
});
