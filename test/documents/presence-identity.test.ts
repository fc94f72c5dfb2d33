import { describe, expect, test } from 'vitest';
import { connectHocuspocus, connectYWebsocket } from '../helpers/clients.ts';
import { PROTOCOLS } from '../helpers/editor.ts';
import { openRoom } from '../helpers/presence.ts';
import { startServer } from '../helpers/server.ts';
import { SECRET, mint } from '../helpers/tokens.ts';

const ANNA = 7;

describe.each(PROTOCOLS)('who a presence state is of, over %s', (protocol) => {
  test.each([
    ['says nothing of a user', { cursor: 1 }, { cursor: 1, user: { id: 'anna' } }],
    [
      'says other things of its user',
      { user: { name: 'Anna', color: '#f00' }, cursor: { anchor: 1 } },
      { user: { name: 'Anna', color: '#f00', id: 'anna' }, cursor: { anchor: 1 } },
    ],
    ['claims to be another', { user: { id: 'bert', name: 'Bert' } }, { user: { id: 'anna', name: 'Bert' } }],
    ['has an id of another kind', { user: { id: { deep: ['bert'] } } }, { user: { id: 'anna' } }],
    ['has a user of another kind', { user: 'bert' }, { user: { id: 'anna' } }],
    ['has a list of users', { user: [{ id: 'bert' }] }, { user: { id: 'anna' } }],
    ['claims it elsewhere', { id: 'bert', users: [] }, { id: 'bert', users: [], user: { id: 'anna' } }],
    ['is empty', {}, { user: { id: 'anna' } }],
  ])(
    '[P10] where there is a token, one that %s has its `sub`, and the rest as it was',
    async (_what, said, seen) => {
      const { joinAs, watcher } = await openRoom(protocol, { jwtSecret: SECRET });
      const anna = await joinAs('anna');
      anna.says(ANNA, 1, { first: true });
      anna.says(ANNA, 2, said);
      await anna.isHeardBy(watcher);
      expect(watcher.view()[ANNA]).toEqual(seen);
      // Whoever comes later is told the same.
      const later = await joinAs('bert');
      later.asks();
      await later.sees((view) => ANNA in view);
      expect(later.view()[ANNA]).toEqual(seen);
    },
  );

  test('[P10] a key that every object has is nobody', async () => {
    const { joinAs, watcher } = await openRoom(protocol, { jwtSecret: SECRET });
    const anna = await joinAs('anna');
    anna.says(
      ANNA,
      1,
      JSON.parse('{"user": {"__proto__": {"id": "bert"}}, "__proto__": {"user": {"id": "bert"}}}'),
    );
    await watcher.sees((view) => ANNA in view);
    expect(watcher.view()[ANNA]).toMatchObject({ user: { id: 'anna' } });
  });

  test.each([
    ['a text', 'bert'],
    ['a list', [{ user: { id: 'bert' } }]],
    ['a number', 1],
  ])('[P10] a state that is %s has no user', async (_what, said) => {
    const { joinAs, watcher } = await openRoom(protocol, { jwtSecret: SECRET });
    const anna = await joinAs('anna');
    anna.says(ANNA, 1, said);
    await watcher.sees((view) => ANNA in view);
    expect(watcher.view()[ANNA]).toEqual(said);
  });

  test('[P10] a reader has theirs, too', async () => {
    const { join, watcher } = await openRoom(protocol, { jwtSecret: SECRET });
    const reader = await join(await mint({ sub: 'reader', access: { '**': 'read' } }));
    reader.says(ANNA, 1, { user: { id: 'anna' } });
    await watcher.sees((view) => ANNA in view);
    expect(watcher.view()[ANNA]).toEqual({ user: { id: 'reader' } });
  });

  test('[P10] without a key it stays as the client says it', async () => {
    const { join, watcher } = await openRoom(protocol);
    const anna = await join();
    anna.says(ANNA, 1, { user: { id: 'whoever', name: 'Anna' } });
    await watcher.sees((view) => ANNA in view);
    expect(watcher.view()[ANNA]).toEqual({ user: { id: 'whoever', name: 'Anna' } });
  });
});

test('[P10] unmodified providers see who is who', async () => {
  const { url } = await startServer({ jwtSecret: SECRET });
  const [anna, bert] = [
    connectYWebsocket(url, 'room', { token: await mint({ sub: 'anna' }) }),
    connectHocuspocus(url, 'room', { token: await mint({ sub: 'bert' }) }),
  ];
  anna.awareness.setLocalStateField('user', { name: 'Anna', id: 'bert' });
  bert.awareness.setLocalStateField('user', { name: 'Bert' });
  for (const [viewer, viewed, user] of [
    [anna, bert, { name: 'Bert', id: 'bert' }],
    [bert, anna, { name: 'Anna', id: 'anna' }],
  ] as const) {
    const userOf = () => viewer.awareness.getStates().get(viewed.doc.clientID)?.['user'] as { name?: string };
    await viewer.sees(() => userOf()?.name === user.name);
    expect(userOf()).toEqual(user);
  }
});
