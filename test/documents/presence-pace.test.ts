import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { PROTOCOLS } from '../helpers/editor.ts';
import { type Person, openRoom } from '../helpers/presence.ts';

const CROWD = 100;
/** What everybody does one after the other, each in turns of its own. */
const MOVES = 20;

const framesOf = ({ client }: Person) => client.frames.filter(({ type }) => type === 'awareness').length;

const isThere = (state: unknown) => JSON.stringify(state) === `{"move":${MOVES}}`;

describe.each(PROTOCOLS)('presence of many over %s', (protocol) => {
  test('[P11] it is sent as often as they are many milliseconds, and the latest of everybody arrives', async () => {
    const { join, watcher } = await openRoom(protocol);
    const crowd = await Promise.all(Array.from({ length: CROWD }, () => join()));
    for (const [id, person] of crowd.entries()) person.says(id + 1, 1, { move: 0 });
    await watcher.sees((view) => Object.keys(view).length === CROWD, 10_000);
    const [before, since] = [framesOf(watcher), performance.now()];
    for (let move = 1; move <= MOVES; move += 1) {
      for (const [id, person] of crowd.entries()) {
        person.says(id + 1, 1 + move, { move });
        if (id % 10 === 0) await nextTurn();
      }
    }
    await watcher.sees((view) => Object.values(view).every(isThere), 10_000);
    const windows = (performance.now() - since) / CROWD;
    // One at once, and one at the end.
    expect(framesOf(watcher) - before).toBeLessThanOrEqual(windows + 2);
  });
});
