import { expect, test } from 'vitest';
import { scaled } from '../faults/run.ts';
import { isMissing, verify, why } from './spin.ts';

/** A run takes some seconds here, and more on a machine that has other things to do. */
const DEADLINE_MS = 120_000;

const SCOPES: [of: string, scope: string[], absent: string[]][] = [
  ['two instances, their relay, and folds', ['RELAY', 'FOLDERS=1'], ['Operator']],
  ['two instances that fold at once', ['FOLDERS=2'], ['Holder', 'Operator', 'Repair']],
  ['a fold, and an operator who sets a row aside', ['FOLDERS=1', 'OPERATOR'], ['Holder', 'Repair']],
];
const LONG_SCOPES: typeof SCOPES = [
  ['two instances, their relay, and folds of both', ['RELAY', 'FOLDERS=2'], ['Operator']],
];

test.skipIf(isMissing).each([...SCOPES, ...scaled([], LONG_SCOPES)])(
  `[V1] what is acknowledged is stored, and no load, fold or exit loses it: %s${why}`,
  async (_case, scope, absent) => {
    const { violated, isComplete, untaken } = await verify({ scope, claim: 'acked_is_stored' });
    expect({ violated, isComplete }).toEqual({ violated: null, isComplete: true });
    // Whoever takes part does everything that it can do; whoever does not is reported too.
    const processes = untaken.map((step) => step.slice(0, step.indexOf(':')));
    expect(new Set(processes)).toEqual(new Set(absent));
  },
  DEADLINE_MS,
);

test.skipIf(isMissing)(
  `[V2] once faults have ended every edit is acknowledged, and no ack is owed for ever${why}`,
  async () => {
    const scope = ['RELAY', 'LIVENESS'];
    const { violated, isComplete } = await verify({ scope, claim: 'edits_are_acked', isLiveness: true });
    expect({ violated, isComplete }).toEqual({ violated: null, isComplete: true });
  },
  DEADLINE_MS,
);
