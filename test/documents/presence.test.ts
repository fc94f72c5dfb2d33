import { describe, expect, test } from 'vitest';
import { PROTOCOLS } from '../helpers/editor.ts';
import { history, openRoom } from '../helpers/presence.ts';
import { SECRET } from '../helpers/tokens.ts';

const ANNA = 7;
const BERT = 8;
/** Of an old socket: gone when that is. */
const OLD = 9;

/** What Anna says with a token, as others see it. */
const said = (cursor: number) => ({ cursor, user: { id: 'anna' } });

describe.each(PROTOCOLS)('presence over %s', (protocol) => {
  test('[P2] a removal by its owner reaches everybody, also with the clock of the last state', async () => {
    const { join, watcher } = await openRoom(protocol);
    const anna = await join();
    anna.says(ANNA, 3, { cursor: 1 });
    await watcher.sees((view) => ANNA in view);
    anna.says(ANNA, 3, null);
    await watcher.sees((view) => !(ANNA in view));
    expect(history(watcher, ANNA)).toEqual([{ cursor: 1 }, null]);
  });

  test('[P2] a socket that just dies is gone at once, also after leaving and coming back on it', async () => {
    const { join, watcher } = await openRoom(protocol);
    const anna = await join();
    anna.says(ANNA, 1, { cursor: 1 });
    anna.says(ANNA, 2, null);
    await anna.isHeardBy(watcher);
    anna.says(ANNA, 3, { cursor: 2 });
    await watcher.sees((view) => ANNA in view);
    anna.client.socket.terminate();
    await watcher.sees((view) => !(ANNA in view));
    expect(history(watcher, ANNA).slice(-2)).toEqual([{ cursor: 2 }, null]);
  });

  test('[P3] who reconnects before the old socket ends stays, and leaves with the new one', async () => {
    const { join, watcher } = await openRoom(protocol);
    const [before, after] = [await join(), await join()];
    before.says(ANNA, 5, { cursor: 1 });
    await watcher.sees((view) => ANNA in view);
    // With the clock that it was given.
    after.says(ANNA, 6, { cursor: 1 });
    await after.isHeardBy(watcher);
    // What the old socket still had on its way.
    before.says(ANNA, 4, { cursor: 0 });
    before.says(ANNA, 5, null);
    await before.isHeardBy(watcher);
    before.says(OLD, 1, {});
    await watcher.sees((view) => OLD in view);
    before.client.socket.terminate();
    await watcher.sees((view) => !(OLD in view));
    expect(history(watcher, ANNA)).toEqual([{ cursor: 1 }]);

    after.says(ANNA, 7, { cursor: 2 });
    await watcher.sees((view) => JSON.stringify(view[ANNA]) === '{"cursor":2}');
    after.client.socket.terminate();
    await watcher.sees((view) => !(ANNA in view));
  });

  test('[P3] who reconnects, says nothing new, and dies, is gone at once', async () => {
    const { join, watcher } = await openRoom(protocol);
    const [before, after] = [await join(), await join()];
    before.says(ANNA, 5, { cursor: 1 });
    before.says(OLD, 1, {});
    await watcher.sees((view) => ANNA in view && OLD in view);
    after.says(ANNA, 5, { cursor: 1 });
    await after.isHeardBy(watcher);
    before.client.socket.terminate();
    await watcher.sees((view) => !(OLD in view));
    expect(watcher.view()).toEqual({ [ANNA]: { cursor: 1 } });
    after.client.socket.terminate();
    await watcher.sees((view) => !(ANNA in view));
  });

  test('[P3] who reconnects with a new provider, which counts from 0, is told the clock to go on from', async () => {
    const { join, watcher } = await openRoom(protocol);
    const [before, after] = [await join(), await join()];
    before.says(ANNA, 5, { name: 'Anna' });
    await watcher.sees((view) => ANNA in view);
    after.says(ANNA, 0, { name: 'Anna' });
    await after.isHeardBy(watcher, after);
    const clocks = after.heard().filter(({ id }) => id === ANNA);
    expect(clocks.at(-1)).toEqual({ id: ANNA, clock: 7, state: { name: 'Anna' } });
  });

  test.each([
    ['the same clock', 5],
    ['a lower clock', 0],
  ])('[P4] who comes back with %s is seen at once, with what they say from then on', async (_case, clock) => {
    const { join, watcher } = await openRoom(protocol);
    const before = await join();
    before.says(ANNA, 5, { cursor: 1 });
    await watcher.sees((view) => ANNA in view);
    before.client.socket.terminate();
    await watcher.sees((view) => !(ANNA in view));
    const after = await join();
    after.says(ANNA, clock, { cursor: 1 });
    await watcher.sees((view) => ANNA in view);
    after.says(ANNA, clock + 1, { cursor: 2 });
    await after.isHeardBy(watcher);
    expect(watcher.view()[ANNA]).toEqual({ cursor: 2 });
  });

  test('[P4] a clock that we gave is not answered with another when it is sent back', async () => {
    const { join, watcher } = await openRoom(protocol);
    const before = await join();
    before.says(ANNA, 9, { cursor: 0 });
    await before.isHeardBy(watcher);
    before.client.socket.terminate();
    await watcher.sees((view) => !(ANNA in view));

    // A new provider counts from 0; it moves on before it knows the clocks that it is given, and sends each back.
    const after = await join();
    after.says(ANNA, 0, { cursor: 1 });
    after.says(ANNA, 1, { cursor: 2 });
    await watcher.sees((view) => JSON.stringify(view[ANNA]) === '{"cursor":2}');
    const given = watcher.heard().filter(({ id, state }) => id === ANNA && state !== null);
    after.says(ANNA, 11, { cursor: 1 });
    after.says(ANNA, 12, { cursor: 2 });
    await after.isHeardBy(watcher);
    expect(watcher.heard().filter(({ id, state }) => id === ANNA && state !== null)).toEqual(given);
    after.says(ANNA, 13, { cursor: 3 });
    await watcher.sees((view) => JSON.stringify(view[ANNA]) === '{"cursor":3}');
  });

  test('[P5] repeats, removals and high clocks of others change nothing', async () => {
    const { join, watcher } = await openRoom(protocol);
    const [anna, bert] = [await join(), await join()];
    anna.says(ANNA, 3, { cursor: 1 });
    bert.says(BERT, 1, {});
    await watcher.sees((view) => ANNA in view && BERT in view);
    bert.says(ANNA, 3, { cursor: 1 });
    bert.says(ANNA, 3, null);
    bert.says(ANNA, 4, null);
    bert.says(ANNA, 2 ** 40, { cursor: 666 });
    bert.saysAll([
      { id: BERT, clock: 2, state: { cursor: 9 } },
      { id: ANNA, clock: 2 ** 40, state: { cursor: 666 } },
    ]);
    await bert.isHeardBy(watcher);
    expect(history(watcher, ANNA)).toEqual([{ cursor: 1 }]);
    expect(watcher.view()[BERT]).toEqual({ cursor: 9 });
    anna.says(ANNA, 4, { cursor: 2 });
    await anna.isHeardBy(watcher);
    expect(history(watcher, ANNA)).toEqual([{ cursor: 1 }, { cursor: 2 }]);
  });

  test('[P5] an older state that its owner repeats does not come back', async () => {
    const { join, watcher } = await openRoom(protocol);
    const anna = await join();
    anna.says(ANNA, 1, { cursor: 1 });
    await watcher.sees((view) => ANNA in view);
    anna.says(ANNA, 2, { cursor: 2 });
    anna.says(ANNA, 1, { cursor: 1 });
    anna.says(ANNA, 1, null);
    await anna.isHeardBy(watcher);
    expect(history(watcher, ANNA)).toEqual([{ cursor: 1 }, { cursor: 2 }]);
  });

  test('[P5] a late repeat of somebody who left brings nobody back', async () => {
    const { join, watcher } = await openRoom(protocol);
    const [anna, bert] = [await join(), await join()];
    bert.says(BERT, 1, {});
    anna.says(ANNA, 3, { cursor: 1 });
    anna.says(ANNA, 4, { cursor: 2 });
    await anna.isHeardBy(watcher, bert);
    anna.client.socket.terminate();
    await watcher.sees((view) => !(ANNA in view));
    const seen = history(watcher, ANNA);
    bert.says(ANNA, 4, { cursor: 2 });
    bert.says(ANNA, 3, { cursor: 1 });
    bert.says(ANNA, 0, { cursor: 0 });
    await bert.isHeardBy(watcher);
    expect(history(watcher, ANNA)).toEqual(seen);
  });

  test('[P5] with a key, an introduction cannot take the id of another user, whatever its clock', async () => {
    const { joinAs, watcher } = await openRoom(protocol, { jwtSecret: SECRET });
    const [anna, mallory] = [await joinAs('anna'), await joinAs('mallory')];
    anna.says(ANNA, 3, { cursor: 1 });
    await watcher.sees((view) => ANNA in view);
    mallory.says(ANNA, 2 ** 40, { cursor: 666 });
    mallory.says(OLD, 1, {});
    await watcher.sees((view) => OLD in view);
    mallory.client.socket.terminate();
    await watcher.sees((view) => !(OLD in view));
    anna.says(ANNA, 5, { cursor: 2 });
    anna.says(OLD, 2, {});
    await watcher.sees((view) => OLD in view);
    expect(history(watcher, ANNA)).toEqual([said(1), said(2)]);

    const again = await joinAs('anna');
    again.says(ANNA, 5, { cursor: 2 });
    await again.isHeardBy(watcher);
    anna.client.socket.terminate();
    await watcher.sees((view) => !(OLD in view));
    again.says(ANNA, 6, { cursor: 3 });
    await again.isHeardBy(watcher);
    expect(history(watcher, ANNA)).toEqual([said(1), said(2), said(3)]);
  });

  test('[P5] without a key, who is displaced by an introduction has the id back with the next change', async () => {
    const { join, watcher } = await openRoom(protocol);
    const [anna, mallory] = [await join(), await join()];
    anna.says(ANNA, 3, { cursor: 1 });
    await watcher.sees((view) => ANNA in view);
    mallory.says(ANNA, 2 ** 40, { cursor: 666 });
    await anna.sees((view) => JSON.stringify(view[ANNA]) === '{"cursor":666}');
    // Clients count on from the highest clock that they see of themselves.
    anna.says(ANNA, 2 ** 40 + 1, { cursor: 2 });
    await watcher.sees((view) => JSON.stringify(view[ANNA]) === '{"cursor":2}');
    mallory.says(OLD, 1, {});
    await watcher.sees((view) => OLD in view);
    mallory.client.socket.terminate();
    await watcher.sees((view) => !(OLD in view));
    anna.says(ANNA, 2 ** 40 + 2, { cursor: 3 });
    await anna.isHeardBy(watcher);
    expect(history(watcher, ANNA)).toEqual([{ cursor: 1 }, { cursor: 666 }, { cursor: 2 }, { cursor: 3 }]);
  });
});
