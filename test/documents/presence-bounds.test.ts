import * as encoding from 'lib0/encoding';
import { describe, expect, test } from 'vitest';
import { PROTOCOLS } from '../helpers/editor.ts';
import { ROOM, encodeStates, history, joinPresence, openRoom } from '../helpers/presence.ts';
import { startServer } from '../helpers/server.ts';

const ANNA = 7;
const BERT = 8;
const LAST = 5_000;

describe.each(PROTOCOLS)('the bounds of presence over %s', (protocol) => {
  test('[P6] a connection owns as many ids as the limit allows, and each has its own', async () => {
    const { join, watcher } = await openRoom(protocol, { limitPresenceIds: 2 });
    const [anna, bert] = [await join(), await join()];
    for (const id of [1, 2, 3, 4]) anna.says(id, 1, { of: 'anna' });
    anna.says(1, 2, { of: 'anna again' });
    await watcher.sees((view) => JSON.stringify(view[1]) === '{"of":"anna again"}');
    bert.says(3, 1, { of: 'bert' });
    await bert.isHeardBy(watcher);
    expect(watcher.view()).toEqual({ 1: { of: 'anna again' }, 2: { of: 'anna' }, 3: { of: 'bert' } });
  });

  test('[P6] of those who left a thousand clocks are remembered, the oldest are forgotten', async () => {
    const { join, watcher } = await openRoom(protocol, { limitPresenceIds: 2_000 });
    const ids = Array.from({ length: 1_010 }, (_, index) => index + 1);
    const [crowd, bert] = [await join(), await join()];
    bert.says(9_999, 1, {});
    for (const id of ids) crowd.says(id, 5, { id });
    await watcher.sees((view) => ids.every((id) => id in view), 10_000);
    // All leave in one turn, of whom some are forgotten in the same turn.
    crowd.saysAll(ids.map((id) => ({ id, clock: 5, state: null })));
    crowd.says(LAST, 1, {});
    await watcher.sees((view) => Object.keys(view).length === 2, 10_000);
    crowd.client.socket.terminate();
    await watcher.sees((view) => !(LAST in view));
    bert.says(1_010, 5, { repeated: true });
    bert.says(1, 5, { repeated: true });
    await bert.isHeardBy(watcher);
    expect(watcher.heard().filter(({ state }) => JSON.stringify(state) === '{"repeated":true}')).toEqual([
      { id: 1, clock: 5, state: { repeated: true } },
    ]);
  });

  test('[P9] a state above the limit of bytes closes its socket, what is repeated of others does not', async () => {
    const { join, watcher } = await openRoom(protocol, { limitPresenceBytes: 1_000 });
    const [anna, bert] = [await join(), await join()];
    anna.says(ANNA, 1, { cursor: 'x'.repeat(900) });
    await watcher.sees((view) => ANNA in view);
    bert.says(BERT, 1, {});
    bert.says(ANNA, 1, { cursor: 'x'.repeat(2_000) });
    await bert.isHeardBy(watcher);
    anna.says(ANNA, 2, { cursor: 'x'.repeat(1_001) });
    expect(await anna.client.closed()).toEqual({ code: 4413, reason: 'presence_too_large' });
    await watcher.sees((view) => !(ANNA in view) && BERT in view);
  });

  test('[P7] a query is answered with everybody, whichever their protocol', async () => {
    const { url } = await startServer();
    const people = await Promise.all(PROTOCOLS.map((kind) => joinPresence(kind, url, ROOM)));
    for (const [index, person] of people.entries()) person.says(index + 1, 1, { index });
    for (const person of people) await person.isHeardBy(...people);
    const asker = await joinPresence(protocol, url, ROOM);
    asker.asks();
    await asker.sees((view) => 1 in view && 2 in view);
    // Once more, to somebody who knows all that already.
    const heard = asker.heard().length;
    asker.asks();
    await asker.sees(() => asker.heard().length > heard);
    const answer = asker.heard().slice(heard);
    expect(answer.filter(({ id }) => id < 3)).toEqual([
      { id: 1, clock: 2, state: { index: 0 } },
      { id: 2, clock: 2, state: { index: 1 } },
    ]);
  });

  test('[P8] an unchanged state that is renewed reaches everybody, its author too', async () => {
    const { join, watcher } = await openRoom(protocol);
    const anna = await join();
    anna.says(ANNA, 1, { cursor: 1 });
    await anna.sees((view) => ANNA in view);
    anna.says(ANNA, 2, { cursor: 1 });
    await anna.isHeardBy(anna, watcher);
    for (const person of [anna, watcher]) {
      const clocks = person.heard().filter(({ id }) => id === ANNA);
      expect(clocks.at(-1)).toEqual({ id: ANNA, clock: 2, state: { cursor: 1 } });
    }
  });

  test.each([
    ['a clock that leaves no room', encodeStates([{ id: ANNA, clock: 2 ** 48 + 1, state: {} }])],
    ['a level too many', encodeText(`${'['.repeat(65)}${']'.repeat(65)}`)],
    ['thousands of levels', encodeText(`${'['.repeat(50_000)}${']'.repeat(50_000)}`)],
    ['no JSON', encodeText('{')],
    ['an end in the middle', encodeStates([{ id: ANNA, clock: 1, state: {} }]).slice(0, -1)],
  ])('[P9] %s closes its own socket only', async (_case, update) => {
    const { join, watcher } = await openRoom(protocol);
    const [anna, bert] = [await join(), await join()];
    anna.client.send({ type: 'awareness', update }, ROOM);
    expect(await anna.client.closed()).toEqual({ code: 4400, reason: 'bad_frame' });
    bert.says(BERT, 1, {});
    await watcher.sees((view) => BERT in view);
    expect(history(watcher, ANNA)).toEqual([]);
  });
});

/** An update whose state is a text as it stands. */
function encodeText(state: string): Uint8Array {
  return encoding.encode((encoder) => {
    for (const number of [1, ANNA, 1]) encoding.writeVarUint(encoder, number);
    encoding.writeVarString(encoder, state);
  });
}
